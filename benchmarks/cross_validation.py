"""Which score would have been chosen on data that does not judge it?"""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.macro_table import MacroTable
from benchmarks.ranking import tau_b

SPLITS = 50


def cross_validated(
    scores: Mapping[str, np.ndarray], table: MacroTable, *, seed: int = 0
) -> dict[str, Any]:
    """Choose the best score on half of the networks, judge it on the other half.

    Where there are several supernets, each is the judge in turn, and the choice is made
    by the others.

    Args:
      scores: name -> float64[S, N], one row for each trained supernet.
      table: N networks, each once.
      seed: of the halves.

    Returns:
      `chosen`: how often each name was the choice in `splits` splits; `tau_b`: mean
      tau-b of the choice on what judges it, and `range`: where 95 % of the splits lie.
    """
    rng = np.random.default_rng(seed)
    supernets = len(next(iter(scores.values())))
    chosen, found = collections.Counter(), []
    for split in range(SPLITS):
        choosing, judging = np.array_split(rng.permutation(len(table)), 2)
        judge = split % supernets
        others = [n for n in range(supernets) if n != judge] or [judge]
        taus = {
            name: np.mean([_tau(rows[n], table, choosing) for n in others])
            for name, rows in scores.items()
        }
        best = max(taus, key=taus.__getitem__)
        chosen[best] += 1
        found.append(_tau(scores[best][judge], table, judging))
    return {
        "splits": SPLITS,
        "chosen": dict(chosen.most_common()),
        "tau_b": float(np.mean(found)),
        "range": np.percentile(found, (2.5, 97.5)).tolist(),
    }


def _tau(scores: np.ndarray, table: MacroTable, part: np.ndarray) -> float:
    """Tau-b on a part of the networks; a constant score says nothing: 0."""
    return float(np.nan_to_num(tau_b(scores[part], table.accuracies[part])))
