"""The choice of networks by a score, and the choice among several scores."""

import collections
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from difnas_jax.ranking.correlation import kendall_tau_b

SPLITS = 50  # of the networks in cross-validation


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


def cross_validate(
    scores: Mapping[str, np.ndarray], accuracies: np.ndarray
) -> dict[str, Any]:
    """Choose the best score on half of the networks, and judge it on the other half.

    Where there are several supernets, each judges in turn a choice that the other
    supernets made.

    Source: Stone, "Cross-validatory choice and assessment of statistical predictions",
    Journal of the Royal Statistical Society B 1974.

    Args:
      scores: name -> float64[S, N], one row for each trained supernet; one supernet
        chooses and judges, by other networks.
      accuracies: float64[N], each network once.

    Returns:
      `splits`, their number; `chosen`, how often each name was chosen, the most
      frequent first; `tau_b`, mean tau-b of the chosen score where it is judged; and
      `range`, [low, high], between which 95 % of the splits are.
    """
    rng = np.random.default_rng(0)
    supernets = len(next(iter(scores.values())))
    chosen, found = collections.Counter(), []
    for split in range(SPLITS):
        choosing, judging = np.array_split(rng.permutation(len(accuracies)), 2)
        judge = split % supernets
        others = [n for n in range(supernets) if n != judge] or [judge]
        taus = {
            name: np.mean([_tau(rows[n], accuracies, choosing) for n in others])
            for name, rows in scores.items()
        }
        best = max(taus, key=taus.__getitem__)
        chosen[best] += 1
        found.append(_tau(scores[best][judge], accuracies, judging))
    return {
        "splits": SPLITS,
        "chosen": dict(chosen.most_common()),
        "tau_b": float(np.mean(found)),
        "range": np.percentile(found, (2.5, 97.5)).tolist(),
    }


def _tau(scores: np.ndarray, accuracies: np.ndarray, part: np.ndarray) -> float:
    """Tau-b on some of the networks; 0 where it is not defined."""
    return float(np.nan_to_num(kendall_tau_b(scores[part], accuracies[part])))
