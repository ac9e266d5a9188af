"""How long one update of a supernet takes on the device at hand; it reads no data."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh
from ml_collections import ConfigDict

from difnas_jax.runtime.mesh import DEVICES, shard_batch
from difnas_jax.training.placements import PLACEMENTS
from difnas_jax.training.recipe import (
    Memory,
    Recipe,
    build_sampler,
    build_supernet,
    initial_variables,
)
from difnas_jax.training.steps import TrainState
from difnas_jax.training.train import begin

# The first update compiles, the second one fills caches and allocates.
WARM_UP, TIMED = 2, 10


class UpdateTime(NamedTuple):
    """The time of one update.

    Attributes:
      milliseconds: median of `TIMED` updates.
      paths: K, the paths of an update.
    """

    milliseconds: float
    paths: int


def time_update(config: ConfigDict) -> UpdateTime:
    """Time updates of the supernet of a config from its initial parameters on.

    An update is forward and backward pass of every sampled path and one step of the
    optimizer: the program that trains, compiled, on one device. This is the latency of
    table 2 of the paper, "one complete forward and backward propagation" at batch 32.
    The paper does not say: whether that is one path or the K of an update of fair
    sampling.

    The images are noise.
    """
    state, train_step, paths, batch = begin_on_noise(config, WARM_UP + TIMED)
    seconds = []
    for step in range(WARM_UP + TIMED):
        chosen = jax.block_until_ready(paths(step, state.memory))
        start = time.perf_counter()
        state, _ = jax.block_until_ready(train_step(state, batch, chosen))
        seconds.append(time.perf_counter() - start)
    return UpdateTime(1000 * statistics.median(seconds[WARM_UP:]), len(chosen))


def begin_on_noise(
    config: ConfigDict, total: int
) -> tuple[TrainState, Any, Callable[[int, Memory], Array], Any]:
    """What `begin` makes for the supernet of a config on one device, and a batch.

    Args:
      config: of the whole program.
      total: updates.

    Returns:
      The first state, the step (a function under `jax.jit`), `Updates.paths`, and noise
      as images with labels, as many and as large as the config says.
    """
    model, recipe = build_supernet(config), Recipe.of_supernet(config)
    space, rng = model.space, np.random.default_rng(config.seed)
    mesh = Mesh(np.array(jax.devices()[:1]), (DEVICES,))
    started = begin(
        model=model,
        variables=initial_variables(config, model),
        sampler=build_sampler(config),
        recipe=recipe,
        mesh=mesh,
        total=total,
    )
    count, side = config.supernet.batch_size, space.image_size
    shape = count, side, side, space.image_channels
    noise = {
        "image": rng.standard_normal(shape, np.float32),
        "label": rng.integers(space.num_classes, size=count, dtype=np.int32),
    }
    return *started, shard_batch(noise, mesh, PLACEMENTS[recipe.placement].batch)
