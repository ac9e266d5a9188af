"""Prices instead of bounds: the Lagrangian relaxation of a search with a budget."""

from __future__ import annotations

import dataclasses

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.search.problem import Problem

PRICES = 9  # tried on each side of the best so far
ZOOMS = 40
ROUNDING = 1e-12  # of the largest sum of scores


@dataclasses.dataclass(frozen=True)
class Relaxation:
    """A problem with prices; quantities are MACs and parameters, Q = 2.

    Attributes:
      known: bool[L, O], ops with a finite score.
      loss: float64[L, O], how far an op is below the best of its layer after prices.
      scores: float64[L, O].
      costs: int64[Q, L, O].
      low, high: int64[Q], bounds on the costs of the layers.
      can_miss: bool[2, Q], whether the lower and the upper bound can be missed.
      bound: no network within the budget scores more.
    """

    known: np.ndarray
    loss: np.ndarray
    scores: np.ndarray
    costs: np.ndarray
    low: np.ndarray
    high: np.ndarray
    can_miss: np.ndarray
    bound: float

    @classmethod
    def of(cls, problem: Problem, table: np.ndarray) -> Relaxation:
        """Find good prices for a problem with the score table float64[L, O].

        Raises:
          InputError: a layer without any finite score.
        """
        budget, table_costs = problem.budget, problem.costs
        known = np.isfinite(table)
        if not known.any(1).all():
            layer = int(np.flatnonzero(~known.any(1))[0])
            raise InputError(
                f"search: expected a finite score for some op of layer {layer}, got "
                "none; check the indicator"
            )
        scores = np.where(known, table, 0.0)
        costs = np.stack((table_costs.macs, table_costs.params))
        fixed = np.array((table_costs.fixed_macs, table_costs.fixed_params))
        least, most = rest_of(costs, known)
        low = np.array((budget.min_macs, budget.min_params)) - fixed
        high = most[:, 0].copy()
        for index, bound in enumerate((budget.max_macs, budget.max_params)):
            if bound is not None:
                high[index] = min(high[index], bound - fixed[index])
        low = np.maximum(low, least[:, 0])
        can_miss = np.stack((low > least[:, 0], high < most[:, 0]))
        prices = _prices(scores, costs, known, (low, high), can_miss)
        priced = np.where(known, scores - np.tensordot(prices, costs, 1), -np.inf)
        top = priced.max(1, keepdims=True)
        charged = np.where(prices > 0, high, low)
        bound = float(top.sum() + prices @ charged)
        return cls(known, top - priced, scores, costs, low, high, can_miss, bound)

    @property
    def largest_loss(self) -> float:
        """What the worst architecture loses."""
        return float(self.loss.max(axis=1, initial=0, where=self.known).sum())

    @property
    def slack(self) -> float:
        """More than rounding makes of any sum."""
        return ROUNDING * (np.abs(self.scores).max(1).sum() + abs(self.bound))


def rest_of(costs: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the layers from l to the last cost.

    Args:
      costs: int64[Q, L, O].
      known: bool[L, O], the ops that count.

    Returns:
      int64[Q, L + 1] twice: at least and at most.
    """
    least = costs.min(axis=2, where=known, initial=np.iinfo(np.int64).max)
    most = costs.max(axis=2, where=known, initial=0)
    none = np.zeros((len(costs), 1), np.int64)
    least, most = (
        np.concatenate((part[:, ::-1].cumsum(1)[:, ::-1], none), axis=1)
        for part in (least, most)
    )
    return least, most


def _prices(
    scores: np.ndarray,
    costs: np.ndarray,
    known: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    can_miss: np.ndarray,
) -> np.ndarray:
    """float64[Q]: prices for a low upper bound, by zooming into a grid.

    The bound is convex in the prices. A price above 0 charges a quantity for its upper
    bound, one below 0 pays for reaching the lower one.
    """
    least, most = rest_of(costs, known)
    span = np.maximum(most[:, 0] - least[:, 0], 1)
    step = 2 * len(scores) * np.ptp(scores[known]) / span
    signs = np.linspace(-1, 1, 2 * PRICES + 1)
    grid = np.stack(np.meshgrid(signs, signs, indexing="ij"), -1).reshape(-1, 2)
    low, high = bounds
    best = np.zeros(2)
    for _ in range(ZOOMS):
        prices = best + grid * step
        prices = np.clip(prices, *np.where(can_miss, ((-np.inf,), (np.inf,)), 0.0))
        priced = scores - np.tensordot(prices, costs, 1)
        top = np.where(known, priced, -np.inf).max(2).sum(1)
        bound = top + np.where(prices > 0, prices * high, prices * low).sum(1)
        best, step = prices[bound.argmin()], step / 2
    return best
