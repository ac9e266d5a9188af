"""Stage 1: train the supernet. Writes `supernet/`: checkpoints, metrics, last step."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.models.initializers import initialize
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.mesh import data_mesh
from difnas_jax.runtime.processes import is_main_process
from difnas_jax.scoring.trained import build_sampler, build_supernet
from difnas_jax.training.optim import split_frozen
from difnas_jax.training.paths import paths_per_update
from difnas_jax.training.steps import BATCHES
from difnas_jax.training.train import train


def run(config: ConfigDict, workdir: Path) -> None:
    """Train what the method trains, on sampled paths, with batch statistics."""
    method, settings = config.method, config.supernet
    model = build_supernet(config, rematerialize=settings.rematerialize)
    variables = initialize(
        model, config.seed, kernels=method.kernels, depthwise=method.depthwise
    )
    params, frozen = split_frozen(
        variables["params"], method.trainable, method.train_classifier
    )
    train_split = data.load(config).train
    normalizer = data.Normalizer.of(config, train_split)
    sampler = build_sampler(config)
    state = train(
        model,
        {"params": params, "frozen": frozen, "batch_stats": {}},
        sampler,
        data.TrainBatches.of(config, train_split, normalizer, settings.batch_size),
        settings,
        trainable=method.trainable,
        batch_of_paths=method.batch,
        placement=settings.paths_on,
        mesh=data_mesh(),
        folder=workdir / "supernet",
    )
    if is_main_process():
        step, passes = int(state.step), BATCHES[method.batch].passes
        images = step * settings.batch_size * passes(paths_per_update(sampler))
        # Images through a path; the checksum tells one training from another.
        trained = {"step": step, "images": images}
        trained["checksum"] = _checksum(state.variables["params"])
        files.write_json(workdir / artifacts.TRAINED, trained)


def _checksum(tree: Any) -> str:
    """Of the bytes of all leaves."""
    value = 0
    for leaf in jax.tree.leaves(tree):
        value = zlib.crc32(np.asarray(leaf).tobytes(), value)
    return f"{value:08x}"
