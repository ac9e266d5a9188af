"""The training step: a pure function, compiled once for all paths."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh

from difnas_jax.models.networks import Network
from difnas_jax.training.fates import HELD
from difnas_jax.training.optim import Packed, Packing
from difnas_jax.training.paths import stream
from difnas_jax.training.placements import PLACEMENTS, PathsInOrder
from difnas_jax.training.recipe import Memory, Recipe

Metrics = dict[str, Array]
Batch = dict[str, Array]
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


TrainStep = Callable[[TrainState, Batch, Array], tuple[TrainState, Metrics]]


def create_state(
    variables: dict[str, Any], optimizer: Optimizer, packing: Packing, memory: Memory
) -> TrainState:
    """The state before the first update."""
    params = jax.tree.map(jnp.asarray, variables["params"])
    state = optimizer.init(packing.pack(params))
    return TrainState(jnp.zeros((), jnp.int32), variables, state, memory)


class BatchSharing(NamedTuple):
    """How the K paths of an update share the images of its batch.

    Attributes:
      share: (batch, position of the path, K) -> the images that the path sees.
      passes: K -> how often each image passes through a path in one update.
    """

    share: Callable[[Batch, Array, int], Batch]
    passes: Callable[[int], int]


def _same(batch: Batch, position: Array, paths: int) -> Batch:
    """Every path sees all images."""
    return batch


def _split(batch: Batch, position: Array, paths: int) -> Batch:
    """Each path sees B / K images of its own."""
    return jax.tree.map(
        lambda leaf: leaf.reshape(paths, -1, *leaf.shape[1:])[position], batch
    )


BATCH_SHARING: dict[str, BatchSharing] = {
    "same": BatchSharing(_same, lambda paths: paths),
    "split": BatchSharing(_split, lambda paths: 1),
}


class _Shared(NamedTuple):
    """What all paths of an update share."""

    variables: dict[str, Any]
    batch: Batch
    dropout_key: Array


class _Sums(NamedTuple):
    """Sums over the paths of an update; of the losses float32[K], one path each."""

    gradients: Packed
    loss: Array
    losses: Array
    accuracy: Array


def make_train_step(
    model: Network,
    optimizer: Optimizer,
    packing: Packing,
    recipe: Recipe,
    mesh: Mesh | None = None,
) -> TrainStep:
    """Build `train_step(state, batch, paths) -> (state, metrics)`.

    The paths, int32[K, L], run one after another in a scan; their gradients are summed
    (each loss is a mean over images), then follows one update of the optimizer.

    Args:
      model: supernet or found network.
      optimizer: from `optim.optimizer`.
      packing: of the parameters.
      recipe: label smoothing, seed of the dropout, and how paths share batch and
        devices.
      mesh: the devices; needed by the placement `paths`.

    Returns:
      The step, not yet compiled. Metrics: `loss` and `accuracy`, means over paths and
      images; `gradient_norm`, of the summed gradient before clipping;
      `parameter_norm`, of the trained leaves after the update.
    """

    def train_step(
        state: TrainState, batch: Batch, paths: Array
    ) -> tuple[TrainState, Metrics]:
        variables, params = state.variables, state.variables["params"]
        key = stream(recipe.seed, "dropout", state.step)
        every = PathsInOrder(jnp.arange(len(paths)), paths, jnp.ones(len(paths)))
        gradients = functools.partial(
            _gradients_of_paths, model, packing, recipe, len(paths)
        )
        spread = PLACEMENTS[recipe.placement].spread(gradients, mesh)
        batch_stats, sums = spread(_Shared(variables, batch, key), every)
        packed = packing.pack(params)
        updates, optimizer_state = optimizer.update(
            sums.gradients,
            state.optimizer,
            packed,
            moves=packing.moves(params, paths, model.space),
        )
        packed: Any = optax.apply_updates(packed, updates)
        metrics = {
            "loss": sums.loss / len(paths),
            "accuracy": sums.accuracy / len(paths),
            "gradient_norm": _norm_of_trained(sums.gradients),
            "parameter_norm": _norm_of_trained(packed),
        }
        params = packing.unpack(packed, params)
        new_state = TrainState(
            step=state.step + 1,
            variables={**variables, "params": params, "batch_stats": batch_stats},
            optimizer=optimizer_state,
            memory=recipe.remembers.learn(state.memory, state.step, sums.losses),
        )
        return new_state, metrics

    return train_step


def _norm_of_trained(packed: Packed) -> Array:
    """Euclidean norm of what trains."""
    return optax.tree.norm([packed[name] for name in packed if name != HELD])


def _gradients_of_paths(
    model: Network,
    packing: Packing,
    recipe: Recipe,
    number_of_paths: int,
    shared: _Shared,
    some: PathsInOrder,
) -> tuple[Any, _Sums]:
    """Scan over some of the K paths.

    Returns:
      The batch statistics after the last of them, and the sums over them.
    """
    share = BATCH_SHARING[recipe.batch_sharing].share
    loss_of_path = functools.partial(
        _loss_of_path, model, recipe.settings.label_smoothing
    )
    gradient_of_path = jax.value_and_grad(loss_of_path, has_aux=True)
    params = shared.variables["params"]

    def add_path(carry: tuple[Any, _Sums], one: PathsInOrder) -> tuple[Any, None]:
        batch_stats, sums = carry
        seen = shared._replace(
            batch=share(shared.batch, one.positions, number_of_paths),
            variables={**shared.variables, "batch_stats": batch_stats},
        )
        (loss, (batch_stats, entropy, accuracy)), gradient = gradient_of_path(
            params, seen, one.paths
        )
        # The cross-entropy stands at the position of its path: a sum over devices, each
        # with some of the paths, then has those of all.
        losses = entropy * jax.nn.one_hot(one.positions, number_of_paths)
        values = _Sums(packing.pack(gradient), loss, losses, accuracy)
        sums = jax.tree.map(
            lambda total, value: total + one.weights * value, sums, values
        )
        return (batch_stats, sums), None

    gradients = jax.tree.map(jnp.zeros_like, packing.pack(params))
    zeros: Any = _Sums(gradients, 0.0, jnp.zeros(number_of_paths), 0.0)  # type: ignore
    start = shared.variables["batch_stats"], zeros
    return jax.lax.scan(add_path, start, some)[0]


def _loss_of_path(
    model: Network,
    label_smoothing: float,
    params: Any,
    seen: _Shared,
    path: Array,
) -> tuple[Array, tuple[Any, Array, Array]]:
    """The smoothed loss; batch statistics, cross-entropy in nats and accuracy."""
    variables, labels = seen.variables, seen.batch["label"]
    logits, changed = model.apply(
        {**variables, "params": params},
        seen.batch["image"],
        path,
        train=True,
        rngs={"dropout": seen.dropout_key},
        mutable=["batch_stats"] if variables["batch_stats"] else [],
    )
    one_hot = jax.nn.one_hot(labels, logits.shape[-1])
    targets = optax.smooth_labels(one_hot, label_smoothing)
    loss = optax.softmax_cross_entropy(logits, targets).mean()
    entropy = optax.softmax_cross_entropy(logits, one_hot).mean()
    accuracy = (logits.argmax(-1) == labels).mean()
    batch_stats = changed.get("batch_stats", variables["batch_stats"])
    return loss, (batch_stats, entropy, accuracy)
