"""The trade-off between score and cost."""

from __future__ import annotations

import numpy as np


def non_dominated(scores: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Which candidates no other one beats in score without costing more.

    One sort by cost, then every candidate must exceed the best score so far.

    Args:
      scores: float64[N], higher is better; one that is not finite is never kept.
      costs: int64[N] or float64[N], lower is better.

    Returns:
      bool[N]; of candidates equal in both only the first is kept.
    """
    scores = np.where(np.isfinite(scores), scores, -np.inf)
    order = np.lexsort((-scores, costs))
    best = np.maximum.accumulate(scores[order])
    before = np.concatenate(([-np.inf], best[:-1]))[: len(order)]
    keep = np.zeros(len(scores), bool)
    keep[order] = scores[order] > before
    return keep
