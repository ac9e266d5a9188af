"""Indicators: what a trained supernet says about each candidate.

Each row of `INDICATORS` maps `Evidence` to float64[L, O], higher is better, NaN where
it has nothing to say of an op.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.traverse_util
import numpy as np

from difnas_jax.models.blocks import INDICATOR_BATCH_NORMS
from difnas_jax.models.layers import layer_name
from difnas_jax.spaces.base import SearchSpace


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the training of a supernet leaves behind.

    Attributes:
      params: parameters after the last update.
      paths: int32[T, K, L], the K paths of each update.
      losses: float32[T, K], the cross-entropy of each in nats.
      space: the searched space. The identity of a layer scores by its layer indicator.
    """

    params: Any
    paths: np.ndarray
    losses: np.ndarray
    space: SearchSpace


def raw_gammas(evidence: Evidence) -> dict[str, np.ndarray]:
    """The learned scales of the last batch norm of every candidate that has one.

    An edge of a cell has one batch norm in each cell, all of the same width in a stage.

    Returns:
      float32[C] by `<layer>/<op name>`, the scales of all cells one after another.
    """
    params = evidence.params
    scales = {
        place: _scales(params.get(place[0], {}).get(place[1], {}))
        for place in _places(evidence.space)
    }
    return {"/".join(p): np.concatenate(found) for p, found in scales.items() if found}


def gamma(evidence: Evidence) -> np.ndarray:
    """Mean of |gamma| over the channels of the last batch norm of every candidate.

    The absolute value follows the BN-NAS release; its paper's summary has a plain mean.
    Each cell of a space of cells counts alike.

    Returns:
      float64[L, O]; NaN where an op is not allowed or has no batch norm (an identity
      that is the only op of its layer, or the zero op).
    """
    table = _nothing(evidence.space)
    for (layer, op), cell in _places(evidence.space).items():
        scales = _scales(evidence.params.get(layer, {}).get(op, {}))
        if scales:
            means = [np.abs(scale, dtype=np.float64).mean() for scale in scales]
            table[cell] = np.mean(means)
    return table


def main_effect(evidence: Evidence) -> np.ndarray:
    """By how much the loss is lower on the paths through an op, in nats.

    The strictly fair paths of an update are a balanced design: every op is on exactly
    one of them and the ops of other layers are drawn independently. The mean over
    updates of (mean loss of the update - loss of the path through the op) is then an
    unbiased estimate of the main effect of the op, and costs nothing. Ours; the paper
    reads gammas only.

    Counted from the middle of training on: before, losses say more about what trains
    fast. Paths are compared with those of their own update, which see the same images;
    where an update has fewer paths than a layer has ops, with those of neighbouring
    updates.

    Returns:
      float64[L, O]; NaN where no path took an op, and where a layer has only one.
    """
    space = evidence.space
    layers, ops = space.num_layers, space.num_ops
    updates, paths, _ = evidence.paths.shape
    together = -(-int(space.allowed.sum(1).max()) // paths)  # updates in a comparison
    groups = max(1, updates // 2 // together)
    counted = min(updates, groups * together)
    losses = evidence.losses[updates - counted :].astype(np.float64)
    losses = losses.reshape(groups, -1)  # [T, K] -> [G, P]
    gains = (losses.mean(1, keepdims=True) - losses).ravel()
    taken = evidence.paths[updates - counted :].reshape(-1, layers)  # [G * P, L]
    cells = (taken + np.arange(layers) * ops).ravel()
    times = np.bincount(cells, minlength=layers * ops)
    total = np.bincount(cells, np.repeat(gains, layers), minlength=layers * ops)
    effects = np.where(times, total / np.maximum(times, 1), np.nan).reshape(layers, ops)
    choice = space.allowed.sum(1) > 1
    return np.where(space.allowed & choice[:, None], effects, np.nan)


INDICATORS: dict[str, Callable[[Evidence], np.ndarray]] = {
    "gamma": gamma,
    "main_effect": main_effect,
}
# What the numbers are, as a picture says it.
UNITS = {
    "gamma": "mean |γ| over channels",
    "main_effect": "loss below that of the other paths (nats)",
}


def _nothing(space: SearchSpace) -> np.ndarray:
    return np.full((space.num_layers, space.num_ops), np.nan)


def _places(space: SearchSpace) -> dict[tuple[str, str], tuple[int, int]]:
    """(name of the layer, name of the op) -> (layer, op) of all candidates."""
    return {
        (layer_name(number), space.ops[op].name): (number, op)
        for number, layer in enumerate(space.layers)
        for op in layer.ops
    }


def _scales(params: Any) -> list[np.ndarray]:
    """float32[C] of each indicator below a candidate."""
    leaves: dict[tuple[str, ...], Any] = flax.traverse_util.flatten_dict(params)
    return [
        np.asarray(leaf)
        for name, leaf in leaves.items()
        if name[-1] == "scale" and name[-2] in INDICATOR_BATCH_NORMS
    ]
