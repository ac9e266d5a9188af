"""The choice among several scores, judged by data that did not take part in it."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any

import numpy as np

from difnas_jax.ranking.correlation import kendall_tau_b

SPLITS = 50


def cross_validate(
    scores: Mapping[str, np.ndarray], accuracies: np.ndarray, *, seed: int = 0
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
      seed: of the halves.

    Returns:
      `splits`, their number; `chosen`, how often each name was chosen, the most
      frequent first; `tau_b`, mean tau-b of the chosen score where it is judged; and
      `range`, [low, high], between which 95 % of the splits are.
    """
    rng = np.random.default_rng(seed)
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
