"""The training step of difnas_jax, as it is timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from benchmarks.speed import network
from benchmarks.speed.programs import TimedProgram
from difnas_jax.config import default
from difnas_jax.models import modules, networks
from difnas_jax.models.initializers import initialize
from difnas_jax.ops import convolutions
from difnas_jax.ops.layout import CHANNELS_LAST, Layout
from difnas_jax.runtime import compilation
from difnas_jax.spaces.image import ImageSpace
from difnas_jax.training import optim, programs
from difnas_jax.training.fates import split
from difnas_jax.training.paths import strict_fair
from difnas_jax.training.recipe import Recipe
from difnas_jax.training.steps import (
    TrainState,
    TrainStep,
    create_state,
    make_train_step,
)

SCHEDULED_STEPS = 1000
Batch = dict[str, jax.Array]


def training(
    space: ImageSpace,
    section: str,
    trainable: str,
    batch_size: int,
    *,
    layout: Layout | None = None,
    mesh: Mesh | None = None,
    kernels: str = "orthogonal",
    fields: Mapping[str, Any] = {},
) -> tuple[TrainStep, TrainState, Batch]:
    """The step (not compiled), its first state and a batch.

    Args:
      space: the network.
      section: training section; `retrain` has dropout and running statistics.
      trainable: key of `fates.TRAINABLE`; the classifier trains under `all` only.
      batch_size: B.
      layout: of the feature maps; that of the backend by default.
      mesh: the devices; needed by the placement `paths`.
      kernels: key of `KERNEL_RULES`, the initial values.
      fields: of the section, where they differ from the default config.
    """
    settings = network.settings(section, batch_size, fields)
    retrains = section == "retrain"
    dropout = default().retrain.dropout if retrains else 0.0
    model = networks.network(
        space,
        dropout=dropout,
        dtype=settings.dtype,
        rematerialize=settings.rematerialize,
        layout=layout,
    )
    variables = initialize(model, network.SEED, kernels=kernels, depthwise="qr")
    if not retrains:
        variables["batch_stats"] = {}
    recipe = Recipe(
        settings=settings,
        seed=network.SEED,
        trainable=trainable,
        train_classifier=False,
        batch_sharing="same",
        placement=settings.get("placement", "batch"),
        paths_at_once=settings.get("paths_at_once", 1),
        fair=True,
        memory="nothing" if retrains else default().method.memory,
        update="plain",
        method=default().method,
    )
    variables = split(variables, recipe.fates(variables["params"]))
    packing = optim.Packing.of(recipe.fates(variables["params"]))
    optimizer = optim.optimizer(recipe.settings, SCHEDULED_STEPS)
    projection = recipe.projection(packing, SCHEDULED_STEPS)
    step = make_train_step(model, optimizer, projection, recipe, mesh)
    variables = jax.tree.map(jnp.asarray, variables)
    params, sampler = variables["params"], strict_fair(space)
    memory = recipe.memory_before(params, SCHEDULED_STEPS, sampler)
    state = create_state(variables, optimizer, packing, memory)
    images, labels = map(jnp.asarray, network.noise_batch(space, batch_size))
    return step, state, {"image": images, "label": labels}


def updates(
    program: TimedProgram,
) -> tuple[Callable[[np.ndarray, Batch], None], Batch]:
    """The update (paths int32[K, L], batch) -> nothing, when done; and a batch."""
    compilation.keep_compiled_programs("auto")
    plain = program.variant == "plain"
    if plain:
        use_native_convolutions()
    step, state, batch = training(
        network.SPACES[program.space](),
        section=program.section,
        trainable=program.trainable,
        batch_size=program.batch_size,
        layout=CHANNELS_LAST if plain else None,
        fields=program.fields,
    )
    compiled = programs.compiled(step, state.variables["params"], donate=(0,))

    def update(paths: np.ndarray, batch: Batch) -> None:
        nonlocal state
        state, _ = compiled(state, batch, jnp.asarray(paths))
        jax.block_until_ready(state)

    return update, batch


def build(program: TimedProgram) -> Callable[[np.ndarray], None]:
    """The update of a program: int32[K, L] paths -> nothing, when it is done."""
    update, batch = updates(program)
    return lambda paths: update(paths, batch)


def use_native_convolutions() -> None:
    """XLA's convolutions with their own autodiff; 1x1 ones stay matrix products."""

    def plain(
        images: jax.Array, kernel: jax.Array, stride: int, layout: Layout, frozen: bool
    ) -> jax.Array:
        return convolutions.native_conv(images, kernel, stride, layout)

    modules.depthwise_conv = modules.dense_conv = plain
