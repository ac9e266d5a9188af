"""Augmented training batches, made alone or ahead of the updates."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import jax
import numpy as np

from benchmarks.speed import network
from benchmarks.speed.programs import TimedProgram
from difnas_jax.data import Arrays, Normalizer, TrainBatches, prefetch

EXAMPLES = 10_000


def build(program: TimedProgram) -> Callable[[np.ndarray], float | None]:
    """Make a batch, or wait for one and train on it: only the waiting counts."""
    return {"alone": _alone, "waiting": _waiting}[program.variant](program)


def _batches(batch_size: int) -> TrainBatches:
    """Batches from synthetic images of 32 pixels."""
    rng = np.random.default_rng(network.SEED)
    images = rng.integers(256, size=(EXAMPLES, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(10, size=EXAMPLES, dtype=np.int32)
    half = np.full(3, 0.5, np.float32)
    return TrainBatches(
        split=Arrays(images, labels),
        batch_size=batch_size,
        seed=network.SEED,
        normalizer=Normalizer(mean=half, std=half),
        crop_padding=4,
        flip=True,
        lighting=0.0,
    )


def _alone(program: TimedProgram) -> Callable[[np.ndarray], None]:
    batches, steps = _batches(program.batch_size), itertools.count()

    def update(paths: np.ndarray) -> None:
        batches[next(steps)]

    return update


def _waiting(program: TimedProgram) -> Callable[[np.ndarray], float]:
    from benchmarks.speed import difnas_update

    train, _ = difnas_update.updates(program)
    batches = _batches(program.batch_size)
    ahead = prefetch(lambda step: jax.device_put(batches[step]), itertools.count())

    def update(paths: np.ndarray) -> float:
        start = time.perf_counter()
        batch = next(ahead)
        waited = time.perf_counter() - start
        train(paths, batch)
        return waited

    return update
