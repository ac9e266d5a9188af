"""Combiners: several columns become one score, by ranks among the networks at hand.

Ranks need no common scale, and a column that spans many orders of magnitude counts no
more than one that does not. Such a score is relative: it says how a network stands
among these, and changes when others join them.
"""

from collections.abc import Callable

import numpy as np

from difnas_jax.ranking.correlation import mean_ranks

# float64[N, M], larger is better in every column -> float64[N], larger is better.
Combiner = Callable[[np.ndarray], np.ndarray]


def rank_shares(values: np.ndarray) -> np.ndarray:
    """The rank of every value in its column, as a share of N.

    Args:
      values: float64[N, M], larger is better; what is not finite is worst.

    Returns:
      float64[N, M]: from 1 / N, or the mean over equal values, which share a rank, to 1
      for a single best one.
    """
    ordered = np.where(np.isfinite(values), values, -np.inf)
    ranks = [mean_ranks(column) for column in ordered.T]
    return np.stack(ranks, axis=1) / len(values)


def sum_log_rank(values: np.ndarray) -> np.ndarray:
    """Sum over columns of log(rank / N), rank N the best (AZ-NAS, CVPR 2024).

    A network that is bad in one column loses more than it gains by being best in
    another.

    Args:
      values: float64[N, M], larger is better.

    Returns:
      float64[N], at most 0.
    """
    return np.log(rank_shares(values)).sum(1)


def rank_sum(values: np.ndarray) -> np.ndarray:
    """Sum over columns of rank / N (TEG-NAS, arXiv 2108.11939, evolution).

    Args:
      values: float64[N, M], larger is better.

    Returns:
      float64[N], at most M.
    """
    return rank_shares(values).sum(1)


COMBINERS: dict[str, Combiner] = {"sum_log_rank": sum_log_rank, "rank_sum": rank_sum}
