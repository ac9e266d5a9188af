"""The losses of paths of a trained supernet, a balanced experiment.

In training every loss is that of other weights. Here the weights stand still, and
images pass forward only, which costs about a third of an update.
"""

import dataclasses
import functools

import jax
import numpy as np
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.config.build import build_wiring
from difnas_jax.data import Loader, TrainBatches
from difnas_jax.errors import Stopped
from difnas_jax.runtime.mesh import data_mesh, evenly, own_rows, shard_batch
from difnas_jax.runtime.progress import Progress
from difnas_jax.runtime.shutdown import stop_requested
from difnas_jax.scoring.indicators import INDICATORS, Evidence, PathLosses
from difnas_jax.scoring.trained_supernet import TrainedSupernet, evidence_of
from difnas_jax.training import programs
from difnas_jax.training.evaluate import sums_by_path
from difnas_jax.training.paths import paths_per_update, stream, strict_fair

SETS = 2  # strictly fair sets of paths of a batch


def full_evidence(config: ConfigDict, trained: TrainedSupernet) -> Evidence:
    """What the indicator of the method reads, measured where it must be."""
    evidence = evidence_of(config, trained)
    if not INDICATORS[config.method.indicator].measures:
        return evidence
    return dataclasses.replace(evidence, measured=measured_losses(config, trained))


def measured_images(config: ConfigDict) -> int:
    """How many images pass through a path for what the indicator measures."""
    if not INDICATORS[config.method.indicator].measures:
        return 0
    paths = paths_per_update(strict_fair(build_wiring(config).sampled))
    images = config.method.measured_batches * config.supernet.batch_size
    return images * SETS * paths


def measured_losses(config: ConfigDict, trained: TrainedSupernet) -> PathLosses:
    """Losses of `method.measured_batches` x `SETS` strictly fair sets of paths.

    The batches are the ones that would train next, augmented likewise; every path sees
    all images of a batch, and the statistics of its batch norms are those of the batch.
    Where devices do not divide a batch, each has all of it.

    Raises:
      Stopped: a signal was received; what was measured is lost.
    """
    dataset, mesh = data.load(config), data_mesh()
    size = config.supernet.batch_size
    spec = evenly(size, mesh)
    batches = TrainBatches.of(config, dataset.train, size)
    batches = dataclasses.replace(batches, rows=own_rows(size, mesh, spec))
    steps = range(trained.step, trained.step + config.method.measured_batches)
    program = programs.of_network(
        functools.partial(sums_by_path, trained.model),
        trained.variables["params"],
        title="indicator",
        name="the losses of paths",
        model=trained.model,
        batch_size=size,
    )
    sampler = strict_fair(build_wiring(config).sampled)
    draw = jax.jit(jax.vmap(sampler))
    progress = Progress("indicator: path losses", len(steps), 0, "batches")
    paths, losses = [], []
    with Loader(batches, steps) as ahead:
        for step, batch in zip(steps, ahead, strict=True):
            if stop_requested(step):
                raise Stopped("stopped by a signal; the losses so far are lost")
            keys = jax.random.split(stream(config.seed, "measured paths", step), SETS)
            sets = np.asarray(draw(keys))  # [SETS, K, L]
            masked = {**batch, "mask": np.ones(len(batch["label"]))}
            placed = shard_batch(masked, mesh, spec)
            sums = program(trained.variables, placed, sets.reshape(-1, sets.shape[-1]))
            paths.append(sets)
            mean = np.asarray(sums["loss"]) / size
            losses.append(mean.reshape(sets.shape[:2]))
            progress.step()
    progress.finish()
    return PathLosses(np.concatenate(paths), np.concatenate(losses))
