"""Prices instead of bounds: the Lagrangian relaxation of a search with a budget."""

import dataclasses
import itertools
from typing import Self

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.search.problem import Problem

PRICES = 9  # tried on each side of the best so far, for each of one or two costs
FEW_PRICES = 2  # the same for each of more costs
ZOOMS = 40
INFINITE = np.array([[-np.inf], [np.inf]])
ROUNDING = 1e-12  # of the largest sum of scores


@dataclasses.dataclass(frozen=True)
class Relaxation:
    """A problem with prices on Q costs: those of which a bound can be missed.

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
    def of(cls, problem: Problem, table: np.ndarray) -> Self:
        """Find good prices for a problem with the score table float64[L, O].

        Raises:
          InputError: a layer without any finite score.
        """
        known = np.isfinite(table)
        for layer in np.flatnonzero(~known.any(1)):
            raise InputError(
                f"search: expected a finite score for some op of layer {layer}, got "
                "none; check the indicator"
            )
        scores = np.where(known, table, 0.0)
        costs = np.stack(list(problem.costs.tables.values()))
        least, most = ends = rest_of(costs, known)[..., 0]
        low, high = ends.copy()
        for index, name in enumerate(problem.costs.tables):
            lowest, highest = problem.budget.bounds.get(name, (None, None))
            if lowest is not None:
                low[index] = max(low[index], lowest - problem.costs.fixed[name])
            if highest is not None:
                high[index] = min(high[index], highest - problem.costs.fixed[name])
        matters = (low > least) | (high < most)
        can_miss = np.stack((low > least, high < most))[:, matters]
        costs, low, high = costs[matters], low[matters], high[matters]
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


def rest_of(costs: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The least and the most that the layers from l to the last cost.

    Args:
      costs: int64[Q, L, O].
      known: bool[L, O], the ops that count.

    Returns:
      int64[2, Q, L + 1]: at least and at most.
    """
    least = costs.min(axis=2, where=known, initial=np.iinfo(np.int64).max)
    most = costs.max(axis=2, where=known, initial=0)
    rest = np.stack((least, most))[..., ::-1].cumsum(2)[..., ::-1]
    return np.pad(rest, ((0, 0), (0, 0), (0, 1)))


def _prices(
    scores: np.ndarray,
    costs: np.ndarray,
    known: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    can_miss: np.ndarray,
) -> np.ndarray:
    """float64[Q]: prices for a low upper bound, by zooming into a grid.

    The bound is convex in the prices. A price above 0 charges a cost for its upper
    bound, one below 0 pays for reaching the lower one.
    """
    least, most = rest_of(costs, known)
    span = most[:, 0] - least[:, 0]
    span = np.where(span > 0, span, 1)
    step = 2 * len(scores) * np.ptp(scores[known]) / span
    count = PRICES if len(costs) < 3 else FEW_PRICES
    signs = np.linspace(-1, 1, 2 * count + 1)
    grid = np.array(list(itertools.product(signs, repeat=len(costs))))  # [G, Q]
    (low, high), (cheapest, dearest) = bounds, np.where(can_miss, INFINITE, 0.0)
    best = np.zeros(len(costs))
    for _ in range(ZOOMS):
        prices = np.clip(best + grid * step, cheapest, dearest)
        priced = scores - np.tensordot(prices, costs, 1)
        top = np.where(known, priced, -np.inf).max(2).sum(1)
        bound = top + np.where(prices > 0, prices * high, prices * low).sum(1)
        best, step = prices[bound.argmin()], step / 2
    return best
