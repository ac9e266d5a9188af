"""Stage 1: train the supernet. Writes `supernet/`: checkpoints, metrics, last step."""

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
from difnas_jax.training.fates import split
from difnas_jax.training.paths import paths_per_update
from difnas_jax.training.recipe import Recipe, build_sampler, build_supernet
from difnas_jax.training.steps import BATCH_SHARING
from difnas_jax.training.train import train


def run(config: ConfigDict, workdir: Path) -> None:
    """Train what the method trains, on sampled paths, with batch statistics."""
    method, batch_size = config.method, config.supernet.batch_size
    model, recipe = build_supernet(config), Recipe.of_supernet(config)
    params = initialize(
        model, config.seed, kernels=method.kernels, depthwise=method.depthwise
    )["params"]
    images = data.load(config).train
    normalizer = data.Normalizer.of(config, images)
    sampler = build_sampler(config)
    state = train(
        model=model,
        # A supernet keeps no running statistics.
        variables=split({"params": params, "batch_stats": {}}, recipe.fates(params)),
        sampler=sampler,
        batches=data.TrainBatches.of(config, images, normalizer, batch_size),
        recipe=recipe,
        mesh=data_mesh(),
        folder=workdir / "supernet",
    )
    if is_main_process():
        passes = BATCH_SHARING[recipe.batch_sharing].passes(paths_per_update(sampler))
        seen = int(state.step) * batch_size * passes
        result = {
            "step": int(state.step),
            "images": seen,  # through a path
            "epochs": seen / len(images),
            # It tells one training from another.
            "checksum": _checksum(state.variables["params"]),
        }
        files.write_json(workdir / artifacts.SUPERNET_RESULT, result)


def _checksum(tree: Any) -> str:
    """Of the bytes of all leaves."""
    value = 0
    for leaf in jax.tree.leaves(tree):
        value = zlib.crc32(np.asarray(leaf).tobytes(), value)
    return f"{value:08x}"
