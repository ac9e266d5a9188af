"""Where a network stands in a supernet: of equal paths the one that scores highest.

In a run of equal layers an identity is nothing, so a network with fewer blocks than
layers is several paths, each with its own sum of scores. What a search says of such a
network is its best path, whichever was proposed.
"""

from __future__ import annotations

import itertools

import numpy as np

from difnas_jax.spaces.base import SearchSpace


def best_placed(
    architectures: np.ndarray, table: np.ndarray, space: SearchSpace
) -> np.ndarray:
    """Move the blocks of every run to the layers where they score highest, in order.

    Args:
      architectures: int[N, L].
      table: float64[L, O] scores; an op without a score is avoided.
      space: the search space.

    Returns:
      int[N, L], the same networks.
    """
    placed = np.array(architectures)
    scores = np.where(np.isfinite(table), table, -np.inf)
    for run in space.identity_runs:
        placed[:, run] = _best_of_run(placed[:, run], scores[run], space.identity)
    return placed


def _best_of_run(ops: np.ndarray, scores: np.ndarray, identity: int | None):
    """The same for one run: int[N, R] ops and float64[R, O] scores."""
    layers = np.arange(ops.shape[1])
    order = np.argsort(ops == identity, axis=1, kind="stable")
    packed = np.take_along_axis(ops, order, axis=1)
    blocks = (ops != identity).sum(1)
    best, found = ops.copy(), scores[layers, ops].sum(1)
    for count in layers[1:]:
        rows = np.flatnonzero(blocks == count)
        for places in itertools.combinations(layers, count) if rows.size else ():
            moved = np.full((rows.size, len(layers)), identity)
            moved[:, places] = packed[rows, :count]
            score = scores[layers, moved].sum(1)
            better = score > found[rows]
            best[rows[better]], found[rows[better]] = moved[better], score[better]
    return best
