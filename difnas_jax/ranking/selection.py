"""What it costs to choose networks by a score instead of by their accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Choice(NamedTuple):
    """The network that a score chooses, beside the best one.

    Attributes:
      chosen: index of the network of highest score.
      best: index of the network of highest accuracy.
      regret: accuracy of the best network less that of the chosen one.
      better: share of the networks that are better than the chosen one.
    """

    chosen: int
    best: int
    regret: float
    better: float


def choice(
    scores: np.ndarray,
    accuracies: np.ndarray,
    costs: np.ndarray,
    *,
    max_cost: float = np.inf,
) -> Choice | None:
    """Choose by score among the networks within a budget.

    Args:
      scores: float[N]; among equal scores the cheapest network, then the first one, is
        chosen. A network whose score is NaN is chosen last.
      accuracies: float[N].
      costs: [N], MACs for example.
      max_cost: the budget; without it all networks are within.

    Returns:
      The choice, with indices into all N networks; None if the budget holds no network.
    """
    within = np.flatnonzero(costs <= max_cost)
    if not len(within):
        return None
    own = accuracies[within]
    chosen = np.lexsort((costs[within], -scores[within]))[0]
    best = own.argmax()
    regret, better = own[best] - own[chosen], (own > own[chosen]).mean()
    return Choice(int(within[chosen]), int(within[best]), float(regret), float(better))


def top_k_overlap(scores: np.ndarray, accuracies: np.ndarray, k: int) -> float:
    """Share of the k networks of highest score that are among the k most accurate.

    Args:
      scores: float[N]; NaN counts as lowest, and of equal scores the first is taken.
      accuracies: float[N].
      k: from 1 to N.
    """
    first = np.argsort(-scores, kind="stable")[:k]
    second = np.argsort(-accuracies, kind="stable")[:k]
    return len(np.intersect1d(first, second)) / k
