"""The trade-off between score and cost."""

from __future__ import annotations

import numpy as np

from difnas_jax.search.additive import sum_along_paths
from difnas_jax.search.candidates import SCORE, Candidates
from difnas_jax.spaces.costs import MACS, CostTable


def non_dominated(scores: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Which candidates no other one beats in score without costing more.

    Args:
      scores: float64[N], higher is better; one that is not finite is never kept.
      costs: int64[N] or float64[N], lower is better.

    Returns:
      bool[N]; of candidates equal in both only the first is kept.
    """
    scores = np.where(np.isfinite(scores), scores, -np.inf)
    keep = np.zeros(len(scores), bool)
    keep[undominated(scores, costs, best=1)] = True
    return keep


def exact_front(table: np.ndarray, costs: CostTable, best: int = 1) -> Candidates:
    """The whole trade-off between an additive score and MACs, a knapsack problem.

    Layer after layer, of all partial architectures those stay that fewer than `best`
    others beat in score without costing more. That is exact. Partial architectures
    with the same MACs compete, so at most `best` times the number of different sums of
    MACs stay: (largest - smallest) / (greatest common divisor) + 1, which is 205,838
    for `mbv2` at 224 pixels, whatever the table. With real-valued scores it is a few
    hundred; scores that nearly follow the MACs come near to the bound.

    Args:
      table: float64[L, O] score table; ops that are not finite are excluded.
      costs: the cost table of the space.
      best: how many networks to keep for every budget.

    Returns:
      By rising MACs. For every bound on MACs it has the `best` networks of the highest
      score within it, up to rounding of the sum; with `best` = 1 nothing else. Empty
      where a layer has no finite op.
    """
    paths = np.zeros((1, 0), np.int16)
    scores, macs = np.zeros(1), np.zeros(1, np.int64)
    for layer, row in enumerate(table):
        ops = np.flatnonzero(np.isfinite(row))
        all_scores = (row[ops, None] + scores).ravel()
        all_macs = (costs.tables[MACS][layer, ops, None] + macs).ravel()
        kept = undominated(all_scores, all_macs, best)
        op, partial = np.divmod(kept, len(scores))
        paths = np.column_stack((paths[partial], ops[op].astype(np.int16)))
        scores, macs = all_scores[kept], all_macs[kept]
        if not len(kept):
            break
    architectures = paths[np.argsort(macs, kind="stable")].astype(np.int64)
    if not len(architectures):
        architectures = np.zeros((0, len(table)), np.int64)
    scores = sum_along_paths(table, architectures)
    return Candidates(architectures, {SCORE: scores, **costs.of(architectures)})


def undominated(scores: np.ndarray, costs: np.ndarray, best: int) -> np.ndarray:
    """Which may be among the `best` within some bound on their cost.

    One sort by cost, then each front has the scores that exceed all before them.

    Args:
      scores: float64[N], higher is better.
      costs: int64[N], lower is better.
      best: how many within a bound count.

    Returns:
      int64[K] indices of `best` fronts, each without those before; any other has a
      chain of `best` that are at least as good and cost no more.
    """
    left, fronts = np.lexsort((-scores, costs)), []
    for _ in range(best):
        rising = _new_maxima(scores[left])
        fronts.append(left[rising])
        left = left[~rising]
    return np.concatenate(fronts)


def _new_maxima(values: np.ndarray) -> np.ndarray:
    """bool[N]: which values exceed all before them; never minus infinity."""
    best = np.maximum.accumulate(values)
    return values > np.concatenate(([-np.inf], best[:-1]))[: len(values)]
