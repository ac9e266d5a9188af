"""How the supernets of the attempts train: batch norms, and numbers beside them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from ml_collections import ConfigDict

from benchmarks.evidence.gamma_readings import NUMBERS, Gammas
from benchmarks.evidence.gamma_wirings import Apply, is_last, plain
from difnas_jax import data
from difnas_jax.config import load_config
from difnas_jax.config.build import build_wiring
from difnas_jax.config.files import override_by_flags
from difnas_jax.models.network import Network
from difnas_jax.training.paths import stream
from difnas_jax.training.recipe import (
    build_sampler,
    build_supernet,
    initial_variables,
)

# (what trains, path int32[L], batch) -> loss.
Loss = Callable[[Any, Array, dict[str, Array]], Array]


class Training(NamedTuple):
    """How a supernet trains.

    Attributes:
      flags: of fields of the config.
      apply: what becomes of the numbers that train beside the gammas.
      optimizer: makes it of a schedule.
      peak: its rate at the start.
      shrink: decoupled L1 on last scales, as a share of the rate.
    """

    flags: tuple[str, ...] = ()
    apply: Apply = plain
    optimizer: Callable[[Any], optax.GradientTransformation] = optax.adam
    peak: float = 0.1
    shrink: float = 0.0


def config_of(training: Training, flags: argparse.Namespace) -> ConfigDict:
    """Strictly batch norms only, without layer indicator."""
    config = load_config("frozen_effect:nas_bench_macro,size=16")
    config.data.update(source="arrays", path=flags.data)
    config.method.update(kernels="orthogonal", block_scale=1.0, logit_gammas=False)
    override_by_flags(config, list(training.flags))
    config.seed = flags.seed
    return config


class Trained(NamedTuple):
    """A trained supernet.

    Attributes:
      loss: the mean of the last hundred updates.
      gammas: after the last update, by name, and under `NUMBERS` float64[L, O], those
        that trained beside them, averaged over the second half of the updates.
    """

    loss: float
    gammas: Gammas


def trained(training: Training, flags: argparse.Namespace) -> Trained:
    """Train a supernet."""
    config, total = config_of(training, flags), flags.updates
    fixed = np.array([int(layer) for layer in flags.fixed.split(",") if layer], int)
    images, size = data.load(config).train, config.supernet.batch_size
    batches = data.TrainBatches.of(config, images, size)
    net, sampler = build_supernet(config), build_sampler(config)
    variables = initial_variables(config, net)
    params = flax.traverse_util.flatten_dict(variables.pop("params"))
    held = {leaf: params.pop(leaf) for leaf in [*params] if leaf[0] == "classifier"}
    space = build_wiring(config).searched
    shape = space.num_layers, space.num_ops
    now: Any = {
        "gammas": jax.tree.map(jnp.asarray, params),
        "numbers": jnp.zeros(shape),
    }
    schedule = optax.cosine_decay_schedule(training.peak, total)
    optimizer = optimizer_of(training, schedule)
    loss = loss_of(training.apply, net, variables, held)
    update = update_of(loss, optimizer, lambda step: training.shrink * schedule(step))
    state, losses, numbers = optimizer.init(now), [], np.zeros(shape)
    for step in range(total):
        paths = sampler(stream(config.seed, "paths", step)).at[:, fixed].set(1)
        now, state, value = update(now, state, step, paths, batches[step])
        losses.append(float(value))
        if step >= total // 2:
            numbers += np.asarray(now["numbers"], np.float64) / (total - total // 2)
    gammas = {leaf: np.asarray(g, np.float64) for leaf, g in now["gammas"].items()}
    return Trained(float(np.mean(losses[-100:])), {**gammas, NUMBERS: numbers})


def optimizer_of(
    training: Training, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """That of the gammas, and Adam at a constant rate for the numbers beside them."""
    optimizers: dict[Any, Any] = {
        "gammas": training.optimizer(schedule),
        "numbers": optax.adam(0.01),
    }
    return optax.partition(optimizers, {"gammas": "gammas", "numbers": "numbers"})


def loss_of(apply: Apply, net: Network, variables: Any, held: Any) -> Loss:
    """The smoothed cross-entropy of a path.

    Args:
      apply: what becomes of the numbers.
      net: the supernet.
      variables: all collections but its parameters.
      held: flat parameters that do not train.
    """

    def loss(trained: Any, path: Array, batch: dict[str, Array]) -> Array:
        tree = flax.traverse_util.unflatten_dict({**trained["gammas"], **held})
        everything = {**variables, "params": tree}
        logits = apply(net, everything, trained["numbers"], batch["image"], path)
        targets = optax.smooth_labels(jax.nn.one_hot(batch["label"], 10), 0.1)
        return optax.softmax_cross_entropy(logits, targets).mean()

    return loss


def update_of(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    least: Callable[[Array], Any],
) -> Callable[..., Any]:
    """Build (trained, state, step, paths, batch) -> (trained, state, mean loss).

    Args:
      loss: of a path.
      optimizer: of the sum of the gradients of all paths.
      least: of a step: by so much last scales shrink towards 0 after it.
    """

    @jax.jit
    def update(trained: Any, state: Any, step: Any, paths: Any, batch: Any) -> Any:
        def add(total: Any, path: Array) -> tuple[Any, Array]:
            value, gradient = jax.value_and_grad(loss)(trained, path, batch)
            return jax.tree.map(jnp.add, total, gradient), value

        nothing = jax.tree.map(jnp.zeros_like, trained)
        gradients, losses = jax.lax.scan(add, nothing, paths)
        changes, state = optimizer.update(gradients, state, trained)
        trained = optax.apply_updates(trained, changes)
        gammas = {
            leaf: shrunk(gamma, least(step)) if is_last(leaf) else gamma
            for leaf, gamma in trained["gammas"].items()
        }
        return {**trained, "gammas": gammas}, state, losses.mean()

    return update


def shrunk(values: Array, least: Any) -> Array:
    """Nearer to 0 by so much, and 0 within it: the proximal step of L1."""
    return jnp.sign(values) * jnp.maximum(jnp.abs(values) - least, 0)
