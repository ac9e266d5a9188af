"""The training step: a pure function, compiled once for all paths."""

import functools
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh

from difnas_jax.models.network import Network
from difnas_jax.training.fates import HELD
from difnas_jax.training.gradients import Batch, Shared, gradients_of_paths
from difnas_jax.training.optim import Packed, Packing
from difnas_jax.training.paths import stream
from difnas_jax.training.placements import PLACEMENTS, PathsInOrder
from difnas_jax.training.projection import Projection
from difnas_jax.training.recipe import Memory, Recipe

Metrics = dict[str, Array]
Optimizer = optax.GradientTransformationExtraArgs


class TrainState(flax.struct.PyTreeNode):
    """What a training carries from one update to the next.

    Attributes:
      step: int32[], updates done.
      variables: collections `params`, `frozen` and `batch_stats` of the network;
        `batch_stats` is empty for a supernet.
      optimizer: state of the optimizer.
      memory: what the method remembers, see `training.recipe`; empty for most.
    """

    step: Array
    variables: dict[str, Any]
    optimizer: Any
    memory: Memory

    @property
    def parts(self) -> dict[str, Any]:
        """The parts of a checkpoint; Orbax saves no empty tree, such as no memory."""
        names = ("variables", "optimizer", "memory")
        return {name: part for name in names if (part := getattr(self, name))}


TrainStep = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]


def create_state(
    variables: dict[str, Any], optimizer: Optimizer, packing: Packing, memory: Memory
) -> TrainState:
    """The state before the first update."""
    params = jax.tree.map(jnp.asarray, variables["params"])
    state = optimizer.init(packing.pack(params))
    return TrainState(jnp.zeros((), jnp.int32), variables, state, memory)


def make_train_step(
    model: Network,
    optimizer: Optimizer,
    projection: Projection,
    recipe: Recipe,
    mesh: Mesh | None = None,
) -> TrainStep:
    """Build `train_step(state, batch, paths) -> (state, metrics)`.

    The gradients of the paths, int32[K, L], are summed (each loss is a mean over
    images), then follows one update of the optimizer, of which the projection passes
    on a part.

    Args:
      model: supernet or found network.
      optimizer: from `optim.optimizer`.
      projection: of packed updates.
      recipe: label smoothing, seed of the dropout, how paths share batch and devices,
        and how many run at once.
      mesh: the devices; needed by the placement `paths`.

    Returns:
      The step, not yet compiled. Metrics: `loss` and `accuracy`, means over paths and
      images; `gradient_norm`, of the summed gradient before clipping;
      `parameter_norm`, of the trained leaves after the update.
    """
    packing = projection.packing

    def train_step(
        state: TrainState, batch: Batch, paths: Array
    ) -> tuple[TrainState, Metrics]:
        variables, params = state.variables, state.variables["params"]
        key = stream(recipe.seed, "dropout", state.step)
        every = PathsInOrder(jnp.arange(len(paths)), paths, jnp.ones(len(paths)))
        gradients = functools.partial(
            gradients_of_paths, model, packing, recipe, len(paths)
        )
        spread = PLACEMENTS[recipe.placement].spread(gradients, mesh)
        batch_stats, sums = spread(Shared(variables, batch, key), every)
        packed = packing.pack(params)
        updates, optimizer_state = optimizer.update(
            sums.gradients,
            state.optimizer,
            packed,
            moves=packing.moves(params, paths, model.space),
        )
        updates: Any = projection.project(updates, state.memory, params, state.step)
        packed: Any = optax.apply_updates(packed, updates)
        metrics = {
            "loss": sums.loss / len(paths),
            "accuracy": sums.accuracy / len(paths),
            "gradient_norm": _norm_of_trained(sums.gradients),
            "parameter_norm": _norm_of_trained(packed),
        }
        memory = recipe.remembers.learn(state.memory, state.step, sums.losses)
        memory = projection.learn(
            memory, sums.gradients, sums.records, params, state.step
        )
        params = packing.unpack(packed, params)
        new_state = TrainState(
            step=state.step + 1,
            variables={**variables, "params": params, "batch_stats": batch_stats},
            optimizer=optimizer_state,
            memory=memory,
        )
        return new_state, metrics

    return train_step


def _norm_of_trained(packed: Packed) -> Array:
    """Euclidean norm of what trains."""
    return optax.tree.norm([packed[name] for name in packed if name != HELD])
