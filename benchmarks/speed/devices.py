"""The strict-fair update on two virtual CPU devices, in both placements."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed import difnas_update, network
from benchmarks.speed.programs import TimedProgram
from difnas_jax.runtime import compilation
from difnas_jax.runtime.mesh import data_mesh, replicate, shard_batch
from difnas_jax.training.placements import PLACEMENTS


def build(program: TimedProgram) -> Callable[[np.ndarray], None]:
    """The update with the batch or the paths on the devices, by the variant."""
    compilation.keep_compiled_programs("auto")
    mesh, placement = data_mesh(), program.variant
    step, state, batch = difnas_update.training(
        network.SPACES[program.space](),
        section=program.section,
        trainable=program.trainable,
        batch_size=program.batch_size,
        mesh=mesh,
        fields={"placement": placement},
    )
    compiled = jax.jit(step, donate_argnums=0)
    state = replicate(state, mesh)
    batch = shard_batch(batch, mesh, PLACEMENTS[placement].batch)

    def update(paths: np.ndarray) -> None:
        nonlocal state
        state, _ = compiled(state, batch, jnp.asarray(paths))
        jax.block_until_ready(state)

    return update
