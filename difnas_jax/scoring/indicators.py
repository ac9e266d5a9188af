"""Indicators: what a trained supernet says about each candidate.

Each row of `INDICATORS` maps `Evidence` to float64[L, O], higher is better, NaN where
it knows nothing of an op.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.traverse_util
import numpy as np

from difnas_jax.models.blocks import INDICATOR_BATCH_NORMS
from difnas_jax.models.layers import layer_name
from difnas_jax.models.logit_norm import LOGIT_GAMMAS
from difnas_jax.scoring.reliability import doubts_about_gammas
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.training.recipe import Memory

CHUNK = 1000  # constants of a fit whose rows are held in memory at once


class PathLosses(NamedTuple):
    """Losses of paths, those of one row on the same images.

    Attributes:
      paths: int32[T, K, L].
      losses: float32[T, K], the cross-entropy of each, in nats.
    """

    paths: np.ndarray
    losses: np.ndarray


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The results of supernet training that indicators read.

    Attributes:
      params: parameters after the last update.
      paths: int32[T, K, L], the K paths of each update; none where a policy drew them.
      memory: what the training remembers of them, see `training.recipe`.
      measured: losses of paths after the last update; None where no indicator of the
        method reads them.
      space: the searched space. The identity of a layer scores by its layer indicator.
      always_on: layers whose identity ran beside every block.
    """

    params: Any
    paths: np.ndarray
    memory: Memory
    space: SearchSpace
    measured: PathLosses | None = None
    always_on: tuple[int, ...] = ()


def raw_gammas(evidence: Evidence) -> dict[str, np.ndarray]:
    """The learned scales of the last batch norm of every candidate that has one.

    An edge of a cell has one batch norm in each cell, all of the same width in a stage.

    Returns:
      float32[C] by `<layer>/<op name>`, the scales of all cells one after another.
    """
    return {
        f"{layer_name(layer)}/{evidence.space.ops[op].name}": np.concatenate(scales)
        for (layer, op), scales in _scales(evidence).items()
    }


def gamma(evidence: Evidence) -> np.ndarray:
    """Mean of |gamma| over the channels of the last batch norm of every candidate.

    The absolute value follows the BN-NAS release; its paper's summary has a plain mean.
    Each cell of a space of cells counts alike.

    Returns:
      float64[L, O]; NaN where an op is not allowed or has no batch norm (an identity
      that is the only op of its layer, or the zero op).
    """
    table = np.full(evidence.space.allowed.shape, np.nan)
    for candidate, scales in _scales(evidence).items():
        means = [np.abs(scale, dtype=np.float64).mean() for scale in scales]
        table[candidate] = np.mean(means)
    return table


def logit_gamma(evidence: Evidence) -> np.ndarray:
    """The gamma of an op at the logits of the paths through it, see `LogitNorm`; ours.

    Returns:
      float64[L, O]; NaN where an op is not allowed.
    """
    module, name = LOGIT_GAMMAS
    gammas = np.asarray(evidence.params[module][name], np.float64)
    return np.where(evidence.space.allowed, gammas, np.nan)


def _doubts_about_gammas(evidence: Evidence) -> list[str]:
    """Whether they tell the ops that compete apart; an always-on identity does not."""
    space, scales = evidence.space, _scales(evidence)
    layers: dict[int, dict[str, np.ndarray]] = {}
    for (layer, op), found in scales.items():
        if op != space.identity or layer not in evidence.always_on:
            ops = layers.setdefault(layer, {})
            ops[space.ops[op].name] = np.concatenate(found)
    return doubts_about_gammas(layers.values())


def main_effect(evidence: Evidence) -> np.ndarray:
    """`effects` of the losses of the second half of the training.

    They cost nothing beyond the training. Before its middle, losses say more about what
    trains fast. Where an update has fewer paths than a layer has ops, neighbouring
    updates share a constant.
    """
    updates, paths, layers = evidence.paths.shape
    ops = int(evidence.space.allowed.sum(1).max())
    together = -(-ops // paths)  # updates of a constant
    groups = max(1, updates // 2 // together)
    first = max(0, updates - groups * together)
    losses = evidence.memory["path_losses"][first:].reshape(groups, -1)
    taken = evidence.paths[first:].reshape(*losses.shape, layers)
    return effects(PathLosses(taken, losses), evidence.space)


def measured_effect(evidence: Evidence) -> np.ndarray:
    """`effects` of losses that were measured after the training."""
    assert evidence.measured is not None
    return effects(evidence.measured, evidence.space)


def effects(measured: PathLosses, space: SearchSpace) -> np.ndarray:
    """By how much an op lowers the loss of the paths through it, in nats.

    Strictly fair paths are a balanced experiment: every op is on exactly one of them,
    the ops of other layers are drawn independently, and all see the same images. The
    main effects of the ops, in the sense of the design of experiments, are those of the
    least-squares fit of the losses by a sum over layers, with a constant for each row
    of losses. Ours; the paper reads gammas only.

    Returns:
      float64[L, O], summing to 0 over the ops of a layer; NaN where no path took an op,
      and where a layer has only one.
    """
    layers, ops = space.num_layers, space.num_ops
    gains = -measured.losses.astype(np.float64)  # [T, K]
    columns = measured.paths + np.arange(layers) * ops  # [T, K, L]
    gram, moment = np.zeros((layers * ops,) * 2), np.zeros(layers * ops)
    for start in range(0, len(gains), CHUNK):
        part = slice(start, start + CHUNK)
        design = np.zeros((*columns[part].shape[:2], layers * ops))
        np.put_along_axis(design, columns[part], 1.0, axis=-1)
        design -= design.mean(1, keepdims=True)
        design = design.reshape(-1, layers * ops)
        gram += design.T @ design
        moment += design.T @ gains[part].ravel()
    # Of all solutions the shortest: its effects sum to 0 in each layer.
    found = np.linalg.lstsq(gram, moment, rcond=1e-9)[0].reshape(layers, ops)
    seen = np.bincount(columns.ravel(), minlength=layers * ops).reshape(layers, ops) > 0
    choice = space.allowed.sum(1) > 1
    return np.where(seen & space.allowed & choice[:, None], found, np.nan)


class IndicatorRow(NamedTuple):
    """One indicator.

    Attributes:
      measure: evidence -> float64[L, O], higher is better.
      unit: what the numbers are, for the label of a figure.
      meaning: how to read them, for readers who do not know the method.
      memory: key of `MEMORIES`, what the training must remember for it.
      measures: whether it reads losses that are measured after the training.
      sampled: whether it knows an op only if the supernet samples it.
      reads: the kind of leaf, of `training.fates`, that must train for it; "" none.
      switch: the field of the method that must be on for it; "" none.
      positive: whether the numbers are positive, so that ratios of them mean something.
      doubts: evidence -> sentences about why the numbers are not to be believed.
    """

    measure: Callable[[Evidence], np.ndarray]
    unit: str
    meaning: str
    memory: str = "nothing"
    measures: bool = False
    sampled: bool = False
    reads: str = ""
    switch: str = ""
    positive: bool = False
    doubts: Callable[[Evidence], list[str]] = lambda evidence: []


EFFECT = (
    "The indicator of an op is by how much it lowers the loss of the paths through it, "
    "{}, against the mean op of its layer: positive saves loss, negative costs some, "
    "and the ops of a layer sum to 0. Layers compare, too"
)
INDICATORS: dict[str, IndicatorRow] = {
    "gamma": IndicatorRow(
        gamma,
        "mean |γ| over channels",
        "The indicator of an op is the mean absolute scale that its last batch norm "
        "has learned: the larger, the more of the op the supernet lets through. Layers "
        "differ in scale, so compare the ops of one layer",
        positive=True,
        reads="indicator",
        doubts=_doubts_about_gammas,
    ),
    "logit_gamma": IndicatorRow(
        logit_gamma,
        "γ of the logits",
        "The indicator of an op is the scale that it gives the logits of the paths "
        "through it: the larger, the more can they be relied on. Layers compare, too",
        sampled=True,
        reads="batch norm",
        switch="logit_gammas",
    ),
    "main_effect": IndicatorRow(
        main_effect,
        "loss it saves (nats)",
        EFFECT.format("in the second half of the training"),
        memory="path_losses",
        sampled=True,
    ),
    "measured_effect": IndicatorRow(
        measured_effect,
        "loss it saves (nats)",
        EFFECT.format("measured after the training"),
        measures=True,
        sampled=True,
    ),
}


def _scales(evidence: Evidence) -> dict[tuple[int, int], list[np.ndarray]]:
    """By layer and op, float32[C] of each indicator batch norm of the candidate."""
    space, found = evidence.space, {}
    for layer, op in np.argwhere(space.allowed).tolist():
        ops = evidence.params.get(layer_name(layer), {})
        leaves: Any = flax.traverse_util.flatten_dict(ops.get(space.ops[op].name, {}))
        scales = [
            np.asarray(leaf)
            for name, leaf in leaves.items()
            if name[-1] == "scale" and name[-2] in INDICATOR_BATCH_NORMS
        ]
        if scales:
            found[layer, op] = scales
    return found
