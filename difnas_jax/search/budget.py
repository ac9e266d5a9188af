"""What a found network may cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import CostTable

Bounds = tuple[int | None, int | None]
PREFIXES = ("min_", "max_")  # of the config fields that bound a column


@dataclasses.dataclass(frozen=True)
class Budget:
    """Inclusive bounds on the costs of a network.

    Attributes:
      bounds: (lowest, highest) by column; None is no bound.
    """

    bounds: Mapping[str, Bounds]

    @classmethod
    def of(cls, **limits: int) -> Budget:
        """The budget of `min_<column>` and `max_<column>`, where 0 is no bound."""
        columns = dict.fromkeys(name.partition("_")[2] for name in limits)
        low, high = (
            [limits.get(prefix + column, 0) or None for column in columns]
            for prefix in PREFIXES
        )
        return cls(dict(zip(columns, zip(low, high, strict=True), strict=True)))

    @property
    def bounded(self) -> set[str]:
        """The columns that have a bound."""
        return {name for name, pair in self.bounds.items() if pair != (None, None)}

    def violation(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """How far outside networks are, as a fraction of the bounds they miss.

        Args:
          columns: int64[N] by name, every bounded column among them.

        Returns:
          float64[N]; 0 exactly where the budget allows a network.
        """
        outside = np.zeros(np.shape(next(iter(columns.values()))))
        for name, (low, high) in self.bounds.items():
            if low is not None:
                outside += np.maximum(low - columns[name], 0) / max(low, 1)
            if high is not None:
                outside += np.maximum(columns[name] - high, 0) / max(high, 1)
        return outside


def reachable(costs: CostTable, space: SearchSpace) -> dict[str, tuple[int, int]]:
    """The least and the most that an architecture of the space costs.

    Returns:
      (lowest, highest) by cost; both ends are attained, though not necessarily by the
      same architecture in several costs.
    """
    ends = {}
    for name, table in costs.tables.items():
        least = table.min(axis=1, where=space.allowed, initial=table.max())
        most = table.max(axis=1, where=space.allowed, initial=0)
        fixed = costs.fixed[name]
        ends[name] = int(least.sum()) + fixed, int(most.sum()) + fixed
    return ends


def check_reachable(budget: Budget, costs: CostTable, space: SearchSpace) -> None:
    """Refuse a budget that no architecture can meet.

    It looks at each cost alone, so a narrow budget may pass although no architecture
    meets all of its bounds.

    Raises:
      InputError: a bound on a column that is no cost, a negative bound, a minimum above
        its maximum, or a bound outside what the space reaches; it names the field, its
        value and the reachable range.
    """
    for column in sorted(budget.bounds.keys() - costs.tables.keys()):
        raise InputError(
            f"search.min_{column}, search.max_{column}: expected bounds on one of "
            f"{', '.join(costs.tables)}, got bounds on {column!r}"
        )
    for column, (lowest, highest) in reachable(costs, space).items():
        low, high = budget.bounds.get(column, (None, None))
        low = low or 0
        least, most = (f"search.{prefix}{column}" for prefix in PREFIXES)
        reach = f"space {space.name!r} reaches {lowest} to {highest} {column}"
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
    for column, (lowest, highest) in reachable(costs, space).items():
        low, high = budget.bounds.get(column, (None, None))
        parts.append(
            f"search.min_{column} = {low or 0} to "
            f"search.max_{column} = {'unbounded' if high is None else high} "
            f"(space {space.name!r} reaches {lowest} to {highest})"
        )
    return " and ".join(parts)
