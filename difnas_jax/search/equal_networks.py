"""Equal networks: several paths of a supernet that are one found network."""

import itertools

import numpy as np

from difnas_jax.spaces.base import SearchSpace


def highest_scoring_paths(
    architectures: np.ndarray, table: np.ndarray, space: SearchSpace
) -> np.ndarray:
    """Move the blocks of every run to the layers where they score highest, in order.

    In a run of equal layers an identity does nothing, so a network with fewer blocks
    than layers is several paths of the supernet, each with its own sum of scores. A
    search scores such a network along its best path, whichever was proposed.

    Args:
      architectures: int[N, L].
      table: float64[L, O] scores; an op without a score is avoided.
      space: the search space.

    Returns:
      int[N, L], the same networks.
    """
    moved = np.array(architectures)
    scores = np.where(np.isfinite(table), table, -np.inf)
    for run in space.identity_runs:
        moved[:, run] = _best_of_run(moved[:, run], scores[run], space.identity)
    return moved


def _best_of_run(
    ops: np.ndarray, scores: np.ndarray, identity: int | None
) -> np.ndarray:
    """The same for one run: int[N, R] ops and float64[R, O] scores."""
    layers = np.arange(ops.shape[1])
    order = np.argsort(ops == identity, axis=1, kind="stable")
    packed = np.take_along_axis(ops, order, axis=1)
    blocks = (ops != identity).sum(1)
    best, found = ops.copy(), scores[layers, ops].sum(1)
    for count in layers[1:]:
        rows = np.flatnonzero(blocks == count)
        for positions in itertools.combinations(layers, count) if rows.size else ():
            moved = np.full((rows.size, len(layers)), identity)
            moved[:, positions] = packed[rows, :count]
            score = scores[layers, moved].sum(1)
            better = score > found[rows]
            best[rows[better]], found[rows[better]] = moved[better], score[better]
    return best
