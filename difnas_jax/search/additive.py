"""Rules that turn the indicator into an additive score: a sum over the layers.

Every rule maps the indicator, float64[L, O], to a score table of the same shape, NaN
where the space does not allow an op. An identity without batch norm has no indicator;
it scores 0, as in BN-NAS, whose column for identity is never filled, and so does the
only op of a layer. Any other allowed op without indicator stays NaN, so that no search
picks it.
"""

import itertools
from collections.abc import Callable

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.spaces.base import SearchSpace

AdditiveRule = Callable[[np.ndarray, SearchSpace], np.ndarray]


def plain_rule(indicator: np.ndarray, space: SearchSpace) -> np.ndarray:
    """The indicator itself (BN-NAS).

    Args:
      indicator: float64[L, O].
      space: the search space.

    Returns:
      float64[L, O] score table.
    """
    table = np.where(space.allowed, indicator, np.nan)
    fixed = space.allowed.sum(1) == 1
    table[fixed[:, None] & space.allowed & np.isnan(table)] = 0.0
    if space.identity is not None:
        column = table[:, space.identity]
        column[space.skippable & np.isnan(column)] = 0.0
    return table


def ratio_rule(indicator: np.ndarray, space: SearchSpace) -> np.ndarray:
    """The indicator relative to its own layer.

    A layer with a layer indicator divides by it: an op scores how much stronger than
    passing the input on it is, and identity scores 1. Any other layer, such as a
    reduction layer, divides by the mean of its ops. A layer whose only op is an
    identity without batch norm scores 0, a constant that affects no comparison.

    The paper does not specify how layers are compared; it only rejects raw sums because
    layers differ in scale. The ratio does not change when a layer is rescaled.

    Args:
      indicator: float64[L, O]; positive wherever it divides.
      space: the search space.

    Returns:
      float64[L, O] score table.

    Raises:
      InputError: a layer's divisor is not positive.
    """
    known = space.allowed & np.isfinite(indicator)
    count, total = known.sum(1), np.where(known, indicator, 0.0).sum(1)
    reference = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    if space.identity is not None:
        identity = np.where(space.skippable, indicator[:, space.identity], np.nan)
        reference = np.where(np.isfinite(identity), identity, reference)
    for layer in np.flatnonzero(reference <= 0):
        raise InputError(
            f"method.score: 'ratio' divides by the indicator of layer {layer}; "
            f"expected more than 0, got {reference[layer]:g}; train longer or use 'sum'"
        )
    return plain_rule(indicator / reference[:, None], space)


def argmax_rule(indicator: np.ndarray, space: SearchSpace) -> np.ndarray:
    """1 for the op with the layer's largest indicator (first of ties), 0 for others.

    Without a budget the best sum is exactly the per-layer argmax; under a budget it is
    the architecture that keeps the most per-layer winners.

    The paper does not specify how its per-layer selection meets a budget.

    Args:
      indicator: float64[L, O].
      space: the search space.

    Returns:
      float64[L, O] score table.
    """
    table = plain_rule(indicator, space)
    known = np.isfinite(table)
    winner = np.where(known, table, -np.inf).argmax(1)
    wins = np.arange(space.num_ops) == winner[:, None]
    return np.where(known, wins.astype(np.float64), np.nan)


ADDITIVE_RULES: dict[str, AdditiveRule] = {
    "ratio": ratio_rule,
    "sum": plain_rule,
    "argmax": argmax_rule,
}


def sum_along_paths(table: np.ndarray, architectures: np.ndarray) -> np.ndarray:
    """Sum a score table along architectures.

    Args:
      table: float64[L, O].
      architectures: int[N, L].

    Returns:
      float64[N]; NaN where an architecture has an op without score.
    """
    return table[np.arange(len(table)), architectures].sum(-1)


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
