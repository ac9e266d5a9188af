"""The claim of more stable training: spread over seeds and depth, by kernels.

The supernet of the digits as DI-NAS trains it: strictly fair paths, kernels frozen,
batch norms alone move, Adam at 0.03 and batch 64, the layer indicator in parallel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from benchmarks.isometry.supernets import initial, supernet_of, trainer
from difnas_jax import data
from difnas_jax.config import load_config
from difnas_jax.config.build import build_space
from difnas_jax.runtime import compilation
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.mobilenet import DIGITS, stage_layers
from difnas_jax.training.recipe import Recipe

STABILITY = "stability"
SEEDS = 4
LAST = 20  # updates whose mean is the end of a training
Row = dict[str, Any]


class Supernet(NamedTuple):
    """A chain, and how its supernet starts."""

    extra: int  # normal layers that each stage has more than the digits
    kernels: str
    activation: str = ""
    seeds: int = SEEDS


SUPERNETS = (
    Supernet(0, "orthogonal"),
    Supernet(0, "he_fan_out"),
    Supernet(3, "orthogonal"),
    Supernet(3, "he_fan_out"),
    Supernet(0, "looks_linear", seeds=3),
    Supernet(0, "orthogonal", "tanh", seeds=3),
)


def settings(updates: int) -> ConfigDict:
    """The config of all trainings."""
    config = load_config("digits")
    config.method.update(trainable="all_bn", train_classifier=False, depthwise="qr")
    config.method.update(layer_indicator="parallel", sampling="strict_fair")
    config.method.update(indicator="gamma", score="ratio", memory="nothing")
    config.supernet.update(optimizer="adam", learning_rate=0.03, reference_batch=64)
    config.supernet.update(batch_size=64, steps=updates, epochs=0.0)
    return config


def deeper(space: ChainSpace, extra: int) -> ChainSpace:
    """The chain with more normal layers at the end of both stages that have some."""
    stages = tuple(
        (channels, stride, count + extra * (count > 1))
        for channels, stride, count in DIGITS
    )
    layers = stage_layers(
        space.layers[0].in_channels, stages, reducing=6, normal=len(space.ops)
    )
    return dataclasses.replace(space, layers=layers)


def stability(updates: int, say: Callable[[str], None]) -> list[Row]:
    """Train every supernet of `SUPERNETS` with every seed.

    Args:
      updates: of each training.
      say: takes a line of progress.

    Returns:
      A row for each supernet: `layers`, `kernels`, `activation`, and by seed the lists
      `loss`, `accuracy` and `gradient_norm`, one value for each update.
    """
    config, rows = settings(updates), []
    stream = data.TrainBatches.of(config, data.load(config).train, 64)
    recipe = Recipe.of_supernet(config)
    for extra, kernels, activation, seeds in SUPERNETS:
        space: Any = build_space(config)
        space = deeper(space, extra)
        model = supernet_of(space, config.method.layer_indicator, activation)
        train, found = trainer(model, recipe), []
        for seed in range(seeds):
            say(f"{space.num_layers} layers, {kernels} {activation}, seed {seed}")
            batches = dataclasses.replace(stream, seed=seed)
            with compilation.without_collection():
                found.append(train(initial(model, recipe, seed, kernels), batches)[1])
        names = ("loss", "accuracy", "gradient_norm")
        curves = {n: [[float(m[n]) for m in one] for one in found] for n in names}
        row = {"layers": space.num_layers, "kernels": kernels, "activation": activation}
        rows.append(row | summary(curves))
        say(
            ", ".join(
                f"{name} {value:.4g}"
                for name, value in rows[-1].items()
                if isinstance(value, float)
            )
        )
    return rows


def summary(curves: Mapping[str, Any]) -> Row:
    """What a table shows of some trainings that differ by their seed.

    Args:
      curves: `loss`, `accuracy` and `gradient_norm`: [seeds, updates].

    Returns:
      `loss` and `accuracy` at the end, means over seeds, and `loss_sd`, `accuracy_sd`;
      `loss_spread`: standard deviation of the loss over seeds, root mean square over
      all updates; `norm`: of the gradient at the start, geometric mean over seeds;
      `norm_sd`: standard deviation of its logarithm over seeds, root mean square over
      updates; `norm_jumps`: the same from one update to the next.
    """
    arrays = {name: np.asarray(values) for name, values in curves.items()}
    row: Row = {}
    for name in ("loss", "accuracy"):
        ends = arrays[name][:, -LAST:].mean(1)
        row[name], row[f"{name}_sd"] = float(ends.mean()), float(ends.std(ddof=1))
    row["loss_spread"] = _rms(arrays["loss"].std(0, ddof=1))
    norms = np.log(arrays["gradient_norm"])
    row["norm"] = float(np.exp(norms[:, 0].mean()))
    row["norm_sd"] = _rms(norms.std(0, ddof=1))
    row["norm_jumps"] = _rms(np.diff(norms))
    return row


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
