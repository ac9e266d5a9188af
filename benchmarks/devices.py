"""The strict-fair update on two virtual CPU devices, in both placements."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import network, ours
from benchmarks.contestants import Contestant
from difnas_jax.runtime import compilation
from difnas_jax.runtime.mesh import data_mesh, replicate, shard_batch
from difnas_jax.training.placements import PLACEMENTS


def build(contestant: Contestant) -> Callable[[np.ndarray], None]:
    """The update with the batch or the paths on the devices, by the variant."""
    compilation.keep_compiled_programs("auto")
    mesh, placement = data_mesh(), contestant.variant
    step, state, batch = ours.training(
        network.SPACES[contestant.space](),
        section=contestant.section,
        trainable=contestant.trainable,
        batch_size=contestant.batch_size,
        placement=placement,
        mesh=mesh,
    )
    compiled = jax.jit(step, donate_argnums=0)
    state = replicate(state, mesh)
    batch = shard_batch(batch, mesh, PLACEMENTS[placement].batch)

    def update(paths: np.ndarray) -> None:
        nonlocal state
        state, _ = compiled(state, batch, jnp.asarray(paths))
        jax.block_until_ready(state)

    return update
