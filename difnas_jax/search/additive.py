"""Rules that turn the indicator into an additive score: a sum over the layers.

First, what a layer scores that is dropped: where its identity was always on, a row of
`DROPPED_LAYERS` decides; elsewhere identity was sampled like a block and its own
indicator counts. Then a row of `ADDITIVE_RULES` makes the layers comparable.

Every rule returns a score table like the indicator, float64[L, O], NaN where the
space does not allow an op. An identity without batch norm has no indicator; it scores
0, as in BN-NAS, whose column for identity is never filled, and so does the only op of a
layer. Any other allowed op without indicator stays NaN, so that no search picks it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.spaces.base import SearchSpace

# (indicator float64[A, O] of the layers whose identity is always on, their positions in
# the stage int[A], index of identity) -> float64[A], what identity counts for in them
DroppedLayer = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def score_table(
    indicator: np.ndarray,
    space: SearchSpace,
    *,
    rule: str,
    dropped: str,
    always_on: Sequence[int] = (),
) -> np.ndarray:
    """The score of every op, whose sum along an architecture is its score.

    Args:
      indicator: float64[L, O].
      space: the searched space.
      rule: key of `ADDITIVE_RULES`.
      dropped: key of `DROPPED_LAYERS`.
      always_on: layers whose identity ran beside every block of the supernet.

    Returns:
      float64[L, O]; NaN where an op is not allowed or has no score.

    Raises:
      InputError: see `ratio_rule`.
    """
    values, identity = indicator.copy(), space.identity
    if always_on and identity is not None:
        layers = np.asarray(always_on)
        known = indicator[layers]
        positions = _positions(layers)
        values[layers, identity] = DROPPED_LAYERS[dropped](known, positions, identity)
    return ADDITIVE_RULES[rule].table(values, references(indicator, space), space)


def _positions(layers: np.ndarray) -> np.ndarray:
    """Where in its run of neighbours each layer stands, from 0."""
    starts = np.flatnonzero(np.diff(layers, prepend=-2) != 1)
    runs = np.diff(np.append(starts, len(layers)))
    return np.concatenate([np.arange(length) for length in runs])


def no_score(known: np.ndarray, positions: np.ndarray, identity: int) -> np.ndarray:
    """A dropped layer contributes nothing.

    Then layers go only where the budget makes it pay, those with the smallest score
    first. The scale of an always-on identity says where in the stage it stands, not
    that the block beside it is useless: it tends to be largest in the first normal
    layer of a stage, and it exceeds that of most blocks (docs/methods.md).

    Args:
      known: float64[A, O], the indicator of the layers whose identity is always on.
      positions: int[A], of these layers in their stage.
      identity: its index among the O ops.

    Returns:
      float64[A].
    """
    return np.zeros(len(known))


def as_measured(known: np.ndarray, positions: np.ndarray, identity: int) -> np.ndarray:
    """The identity competes with the blocks by its own scale; see `no_score`."""
    return known[:, identity]


def position_corrected(
    known: np.ndarray, positions: np.ndarray, identity: int
) -> np.ndarray:
    """The identity competes after what its position in the stage explains is removed.

    An identity as large as those at its position are on average counts as much as the
    average block at that position; one that is larger counts for so much more. Ours.
    """
    blocks = np.delete(known, identity, axis=1)
    same = positions[:, None] == positions  # [A, A]
    usual = np.array([known[others, identity].mean() for others in same])
    block = np.array([np.nanmean(blocks[others]) for others in same])
    return known[:, identity] / usual * block


DROPPED_LAYERS: dict[str, DroppedLayer] = {
    "zero": no_score,
    "measured": as_measured,
    "position_corrected": position_corrected,
}


def references(indicator: np.ndarray, space: SearchSpace) -> np.ndarray:
    """What each layer is measured by.

    The layer indicator, which is that of its identity, where it has one; else, as in a
    layer that reduces, the mean of its ops.

    Args:
      indicator: float64[L, O].
      space: the search space.

    Returns:
      float64[L]; NaN where a layer has neither.
    """
    known = space.allowed & np.isfinite(indicator)
    count, total = known.sum(1), np.where(known, indicator, 0.0).sum(1)
    found = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    if space.identity is not None:
        identity = np.where(space.skippable, indicator[:, space.identity], np.nan)
        found = np.where(np.isfinite(identity), identity, found)
    return found


def plain_rule(
    values: np.ndarray, references: np.ndarray, space: SearchSpace
) -> np.ndarray:
    """The indicator itself (BN-NAS)."""
    table = np.where(space.allowed, values, np.nan)
    fixed = space.allowed.sum(1) == 1
    table[fixed[:, None] & space.allowed & np.isnan(table)] = 0.0
    if space.identity is not None:
        column = table[:, space.identity]
        column[space.skippable & np.isnan(column)] = 0.0
    return table


def ratio_rule(
    values: np.ndarray, references: np.ndarray, space: SearchSpace
) -> np.ndarray:
    """The indicator relative to what its layer is measured by, see `references`.

    The paper does not say how layers are compared; it only rejects raw sums because
    layers differ in scale. The ratio does not change when a layer is rescaled. A layer
    whose only op is an identity without batch norm scores 0, a constant that affects
    no comparison.

    Raises:
      InputError: a layer's reference is not positive.
    """
    for layer in np.flatnonzero(references <= 0):
        raise InputError(
            f"method.score: 'ratio' divides by the indicator of layer {layer}; "
            f"expected more than 0, got {references[layer]:g}; train longer or use "
            "'sum'"
        )
    return plain_rule(values / references[:, None], references, space)


def argmax_rule(
    values: np.ndarray, references: np.ndarray, space: SearchSpace
) -> np.ndarray:
    """1 for the op with the layer's largest indicator, 0 for others, and a tie-break.

    Without a budget the best sum is the paper's selection (contribution 3): in each
    layer the op of the largest indicator. Under a budget, of which the paper says
    nothing, it is the architecture that keeps the most of these winners; of those that
    keep as many, the one with the largest sum of ratios, which adds less than 1 in all
    (of plain indicators where they are differences); then the one with fewer MACs.
    """
    table = plain_rule(values, references, space)
    positive = not (references <= 0).any()
    scale = references[:, None] if positive else 1.0
    finer = plain_rule(values / scale, references, space)
    low, high = np.nanmin(finer), np.nanmax(finer)
    share = (finer - low) / max(high - low, np.finfo(float).tiny)  # 0 to 1
    wins = table == np.nanmax(table, axis=1, keepdims=True)
    return np.where(np.isfinite(table), wins + share / (space.num_layers + 1), np.nan)


class AdditiveRule(NamedTuple):
    """One rule that makes layers comparable.

    Attributes:
      table: (the indicator with what dropping scores float64[L, O], what each layer is
        measured by float64[L], the space) -> score table float64[L, O].
      unit: of the score; `{unit}` is that of the indicator.
      meaning: what the score is, for readers who do not know the method.
    """

    table: Callable[[np.ndarray, np.ndarray, SearchSpace], np.ndarray]
    unit: str
    meaning: str


ADDITIVE_RULES: dict[str, AdditiveRule] = {
    "ratio": AdditiveRule(
        ratio_rule,
        "sum of ratios, no unit",
        "the sum over layers of the indicator of the op, relative to the identity of "
        "its layer or, where it has none, to the mean of its ops",
    ),
    "sum": AdditiveRule(
        plain_rule,
        "{unit}, summed over layers",
        "the sum over layers of the indicator of the op",
    ),
    "argmax": AdditiveRule(
        argmax_rule,
        "layers that keep their best op",
        "the number of layers whose op has the largest indicator of its layer; what "
        "stands behind the point orders networks that keep as many",
    ),
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
