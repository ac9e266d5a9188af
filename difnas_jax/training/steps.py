"""The training step: a pure function, compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh

from difnas_jax.models.supernet import Network
from difnas_jax.training.optim import Packing
from difnas_jax.training.paths import stream
from difnas_jax.training.placements import PLACEMENTS

Metrics = dict[str, Array]


class TrainState(flax.struct.PyTreeNode):
    """Everything that a training carries from one update to the next.

    Attributes:
      step: int32[], updates done.
      variables: collections `params`, `frozen` and `batch_stats` of the network;
        `batch_stats` is empty for a supernet.
      optimizer: state of the optimizer.
      losses: float32[T, K], cross-entropy in nats of every path of every update, 0 for
        those to come.
    """

    step: Array
    variables: dict[str, Any]
    optimizer: Any
    losses: Array


TrainStep = Callable[[TrainState, dict[str, Array], Array], tuple[TrainState, Metrics]]


def create_state(
    variables: dict[str, Any],
    optimizer: optax.GradientTransformationExtraArgs,
    packing: Packing,
    *,
    steps: int,
    paths: int,
) -> TrainState:
    """The state before the first of `steps` updates of at most `paths` paths."""
    params = jax.tree.map(jnp.asarray, variables["params"])
    state = optimizer.init(packing.pack(packing.select(params)))
    losses = jnp.zeros((steps, paths), jnp.float32)
    return TrainState(jnp.zeros((), jnp.int32), variables, state, losses)


def _same(batch: dict[str, Array], number: Array, paths: int) -> dict[str, Array]:
    """Every path sees all images."""
    return batch


def _split(batch: dict[str, Array], number: Array, paths: int) -> dict[str, Array]:
    """Path `number` sees its own B / K images."""
    return jax.tree.map(
        lambda leaf: leaf.reshape(paths, -1, *leaf.shape[1:])[number], batch
    )


class BatchRule(NamedTuple):
    """How the images of an update are shared among its K paths.

    Attributes:
      share: (batch, number of the path, K) -> the images that the path sees.
      passes: K -> how often each image passes through a path in one update.
    """

    share: Callable[[dict[str, Array], Array, int], dict[str, Array]]
    passes: Callable[[int], int]


BATCHES: dict[str, BatchRule] = {
    "same": BatchRule(_same, lambda paths: paths),
    "split": BatchRule(_split, lambda paths: 1),
}


def make_train_step(
    model: Network,
    optimizer: optax.GradientTransformationExtraArgs,
    packing: Packing,
    *,
    label_smoothing: float,
    seed: int,
    batch_of_paths: str = "same",
    placement: str = "batch",
    mesh: Mesh | None = None,
) -> TrainStep:
    """Build `train_step(state, batch, paths) -> (state, metrics)`.

    The paths, int32[K, L], run one after another in a scan; their gradients are summed
    (each loss is a mean over images), then follows one update of the optimizer.

    Args:
      model: supernet or found network.
      optimizer: from `optim.optimizer`.
      packing: the trained leaves; no gradient of another leaf is computed.
      label_smoothing: share of the uniform distribution in the target.
      seed: of the dropout stream.
      batch_of_paths: key of `BATCHES`.
      placement: key of `placements.PLACEMENTS`.
      mesh: the devices; needed by the placement `paths`.

    Returns:
      The step, not yet compiled. Metrics: `loss` and `accuracy`, means over paths and
      images; `gradient_norm`, of the summed gradient before clipping;
      `parameter_norm`, of the trained leaves after the update.
    """

    def path_loss(trained: Any, variables: Any, batch: Any, path: Array, key: Array):
        logits, changed = model.apply(
            {**variables, "params": packing.merge(trained, variables["params"])},
            batch["image"],
            path,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"] if variables["batch_stats"] else [],
        )
        labels = jax.nn.one_hot(batch["label"], logits.shape[-1])
        targets = optax.smooth_labels(labels, label_smoothing)
        loss = optax.softmax_cross_entropy(logits, targets).mean()
        entropy = optax.softmax_cross_entropy(logits, labels).mean()
        accuracy = (logits.argmax(-1) == batch["label"]).mean()
        batch_stats = changed.get("batch_stats", variables["batch_stats"])
        return loss, (batch_stats, entropy, accuracy)

    gradient_of_path = jax.value_and_grad(path_loss, has_aux=True)

    def train_step(state: TrainState, batch: dict[str, Array], paths: Array):
        variables, params = state.variables, state.variables["params"]
        trained = packing.select(params)
        packed = packing.pack(trained)
        key = stream(seed, "dropout", state.step)

        def gradients_of_paths(
            trained: Any, variables: Any, batch: Any, key: Array, numbered: Any
        ) -> Any:
            """Scan over (number, path, weight) of some paths."""

            def accumulate(carry: Any, inputs: tuple[Array, Array, Array]):
                batch_stats, sums = carry
                number, path, weight = inputs
                images = BATCHES[batch_of_paths].share(batch, number, len(paths))
                here = {**variables, "batch_stats": batch_stats}
                (loss, (batch_stats, entropy, accuracy)), gradient = gradient_of_path(
                    trained, here, images, path, key
                )
                # The cross-entropy in the place of its path: a sum over devices, each
                # with some of the paths, then has them all.
                entropies = entropy * jax.nn.one_hot(number, len(paths))
                values = packing.pack(gradient), loss, entropies, accuracy
                sums = jax.tree.map(
                    lambda total, value: total + weight * value, sums, values
                )
                return (batch_stats, sums), None

            gradients = jax.tree.map(jnp.zeros_like, packing.pack(trained))
            zeros = gradients, 0.0, jnp.zeros(len(paths)), 0.0
            start = variables["batch_stats"], zeros
            return jax.lax.scan(accumulate, start, numbered)[0]

        run = PLACEMENTS[placement].place(gradients_of_paths, mesh)
        numbered = jnp.arange(len(paths)), paths, jnp.ones(len(paths))
        batch_stats, (gradients, loss, entropies, accuracy) = run(
            trained, variables, batch, key, numbered
        )
        updates, optimizer_state = optimizer.update(
            gradients,
            state.optimizer,
            packed,
            sampled=packing.sampled(params, paths, model.space),
        )
        packed: Any = optax.apply_updates(packed, updates)
        metrics = {
            "loss": loss / len(paths),
            "accuracy": accuracy / len(paths),
            "gradient_norm": optax.tree.norm(gradients),
            "parameter_norm": optax.tree.norm(packed),
        }
        new_params = packing.unpack(packed, params)
        new_variables = {**variables, "params": new_params, "batch_stats": batch_stats}
        losses = state.losses.at[state.step, : len(paths)].set(entropies)
        new_state = TrainState(state.step + 1, new_variables, optimizer_state, losses)
        return new_state, metrics

    return train_step
