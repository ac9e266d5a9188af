"""What a found network may cost."""

from __future__ import annotations

import dataclasses

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import CostTable


@dataclasses.dataclass(frozen=True)
class Budget:
    """Inclusive bounds; None is no bound.

    Attributes:
      min_macs, max_macs: multiply-adds of the whole network.
      min_params, max_params: parameters of the whole network.
    """

    min_macs: int = 0
    max_macs: int | None = None
    min_params: int = 0
    max_params: int | None = None

    @property
    def bounds_params(self) -> bool:
        """Whether there is a bound on parameters."""
        return self.min_params > 0 or self.max_params is not None

    def violation(self, macs: np.ndarray, params: np.ndarray) -> np.ndarray:
        """How far outside costs are, as a fraction of the bounds they miss.

        Args:
          macs: int64[N] multiply-adds.
          params: int64[N] parameters.

        Returns:
          float64[N]; 0 exactly where the budget allows a network.
        """
        return _outside(macs, self.min_macs, self.max_macs) + _outside(
            params, self.min_params, self.max_params
        )


def reachable(costs: CostTable, space: SearchSpace) -> dict[str, tuple[int, int]]:
    """The least and the most that an architecture of the space costs.

    Returns:
      (lowest, highest) by `macs` and `params`; both ends are attained, though not
      necessarily by the same architecture in MACs and in parameters.
    """
    return {
        "macs": _range(costs.macs, costs.fixed_macs, space.allowed),
        "params": _range(costs.params, costs.fixed_params, space.allowed),
    }


def check_reachable(budget: Budget, costs: CostTable, space: SearchSpace) -> None:
    """Refuse a budget that no architecture can meet.

    It looks at MACs and at parameters alone, so a narrow budget may pass and still
    hold nothing.

    Raises:
      InputError: a negative bound, a minimum above its maximum, or a bound outside
        what the space reaches; it names the field, its value and the reachable range.
    """
    for quantity, (lowest, highest) in reachable(costs, space).items():
        low = getattr(budget, f"min_{quantity}")
        high = getattr(budget, f"max_{quantity}")
        least, most = f"search.min_{quantity}", f"search.max_{quantity}"
        reach = f"space {space.name!r} reaches {lowest} to {highest} {quantity}"
        if low < 0:
            raise InputError(f"{least}: expected 0 or more, got {low}; {reach}")
        if low > highest:
            raise InputError(f"{least}: expected at most {highest}, got {low}; {reach}")
        if high is not None and high < lowest:
            raise InputError(f"{most}: expected at least {lowest}, got {high}; {reach}")
        if high is not None and low > high:
            raise InputError(
                f"{least}: expected at most {most} = {high}, got {low}; {reach}"
            )


def describe(budget: Budget, costs: CostTable, space: SearchSpace) -> str:
    """The bounds of a budget and what the space reaches, on one line for messages."""
    parts = []
    for quantity, (lowest, highest) in reachable(costs, space).items():
        low = getattr(budget, f"min_{quantity}")
        high = getattr(budget, f"max_{quantity}")
        parts.append(
            f"search.min_{quantity} = {low} to search.max_{quantity} = {high} "
            f"(space {space.name!r} reaches {lowest} to {highest})"
        )
    return " and ".join(parts)


def _outside(cost: np.ndarray, low: int, high: int | None) -> np.ndarray:
    below = np.maximum(low - cost, 0) / max(low, 1)
    if high is None:
        return below
    return below + np.maximum(cost - high, 0) / max(high, 1)


def _range(cost: np.ndarray, fixed: int, allowed: np.ndarray) -> tuple[int, int]:
    least = cost.min(axis=1, where=allowed, initial=cost.max())
    most = cost.max(axis=1, where=allowed, initial=0)
    return int(least.sum()) + fixed, int(most.sum()) + fixed
