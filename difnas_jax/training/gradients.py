"""The gradients of the paths of an update.

What all paths have in common, stem and fixed blocks, runs once. The paths run in
groups: one after another in a scan, each by a switch in every layer, or all at once,
side by side, which needs no switch where they are strictly fair (`docs/speed.md`
compares the two).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from difnas_jax.models.network import Network
from difnas_jax.training.optim import Packed, Packing
from difnas_jax.training.placements import PathsInOrder
from difnas_jax.training.recipe import Recipe

# `image`, `label` and, where the label is not all of the target, `target`.
Batch = dict[str, Array]


class BatchSharing(NamedTuple):
    """How the K paths of an update share the examples of its batch.

    Attributes:
      share: (array, its batch dimension, positions of G paths, K) -> what these paths
        see of it: one array for all, or one for each.
      passes: K -> how often each image passes through a path in one update.
    """

    share: Callable[[Array, int, Array, int], tuple[Array, ...]]
    passes: Callable[[int], int]


def _same(
    array: Array, batch_axis: int, positions: Array, paths: int
) -> tuple[Array, ...]:
    """Every path sees all examples."""
    return (array,)


def _split(
    array: Array, batch_axis: int, positions: Array, paths: int
) -> tuple[Array, ...]:
    """Path k sees the examples k, k + K, k + 2 K, ... of the batch.

    So each of the devices among which a batch is split has a part for every path.
    """
    shape = *array.shape[:batch_axis], -1, paths, *array.shape[batch_axis + 1 :]
    parts = array.reshape(shape)
    return tuple(
        jax.lax.dynamic_index_in_dim(parts, position, batch_axis + 1, keepdims=False)
        for position in positions
    )


BATCH_SHARING: dict[str, BatchSharing] = {
    "same": BatchSharing(_same, lambda paths: paths),
    "split": BatchSharing(_split, lambda paths: 1),
}


class Shared(NamedTuple):
    """What all paths of an update share."""

    variables: dict[str, Any]
    batch: Batch
    dropout_key: Array


class Sums(NamedTuple):
    """Sums over the paths of an update.

    Attributes:
      gradients: of the loss.
      loss, accuracy: sums of means over images.
      losses: float32[K], the cross-entropy of each path.
      records: what the network records for the recipe, by collection.
    """

    gradients: Packed
    loss: Array
    losses: Array
    accuracy: Array
    records: dict[str, Any]


def gradients_of_paths(
    model: Network,
    packing: Packing,
    recipe: Recipe,
    number_of_paths: int,
    shared: Shared,
    some: PathsInOrder,
) -> tuple[Any, Sums]:
    """Run some of the K paths, forward and backward.

    Returns:
      The batch statistics after the last of them, and the sums over them.
    """
    loss_of_group = functools.partial(_loss_of_group, model, recipe, number_of_paths)
    gradients_of_group = jax.grad(loss_of_group, argnums=(0, 1), has_aux=True)
    params = shared.variables["params"]
    hidden, enter_backward, (batch_stats, of_entry) = jax.vjp(
        lambda params: _enter(model, recipe, params, shared), params, has_aux=True
    )

    def add_group(carry: Any, group: PathsInOrder) -> tuple[Any, dict[str, Any]]:
        batch_stats, of_hidden, sums = carry
        variables = {**shared.variables, "batch_stats": batch_stats}
        seen = shared._replace(variables=variables)
        gradients, (batch_stats, records, *values) = gradients_of_group(
            params, hidden, seen, group
        )
        new = Sums(packing.pack(gradients[0]), *values, records={})
        sums = jax.tree.map(jnp.add, sums, new)
        return (batch_stats, of_hidden + gradients[1], sums), records

    nothing = jax.tree.map(jnp.zeros_like, packing.pack(params))
    zeros = jnp.zeros(()), jnp.zeros(number_of_paths), jnp.zeros(())
    start = batch_stats, jnp.zeros(hidden.shape, jnp.float32), Sums(nothing, *zeros, {})
    size = recipe.paths_at_once
    groups = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), some)
    carry, records = jax.lax.scan(add_group, start, groups)
    batch_stats, of_hidden, sums = carry
    (entry_gradients,) = enter_backward(of_hidden.astype(hidden.dtype))
    gradients = jax.tree.map(jnp.add, sums.gradients, packing.pack(entry_gradients))
    records = jax.tree.map(lambda leaf: leaf.sum(0), records)  # [groups, ...] -> [...]
    every = {name: {**of_entry[name], **records[name]} for name in records}
    return batch_stats, sums._replace(gradients=gradients, records=every)


def _enter(
    model: Network, recipe: Recipe, params: Any, shared: Shared
) -> tuple[Array, tuple[Any, ...]]:
    """What all paths have in common; its output, batch statistics, and records."""
    image = shared.batch["image"]
    hidden, *others = _apply(model, recipe, params, shared, image, method="enter")
    return hidden, tuple(others)


def _loss_of_group(
    model: Network,
    recipe: Recipe,
    number_of_paths: int,
    params: Any,
    hidden: Array,
    shared: Shared,
    group: PathsInOrder,
) -> tuple[Array, tuple[Any, ...]]:
    """The sum of the losses of some paths, each times its weight.

    The target of an image is its smoothed label, unless the batch has another.

    Returns:
      It; batch statistics, records, the same sum, cross-entropies in nats, sum of
      accuracies.
    """
    share = BATCH_SHARING[recipe.batch_sharing].share
    batch_axis = model.map_layout.dims.index("B")
    maps = share(hidden, batch_axis, group.positions, number_of_paths)
    logits, batch_stats, records = _apply(
        model,
        recipe,
        params,
        shared,
        maps,
        paths=group.paths,
        fair=recipe.fair and len(group.paths) == number_of_paths,
        method="follow",
    )

    def seen(name: str) -> Array:  # [1 or G, B, ...]
        parts = share(shared.batch[name], 0, group.positions, number_of_paths)
        return jnp.stack(parts)

    labels = seen("label")
    one_hot = jax.nn.one_hot(labels, logits.shape[-1])
    targets = optax.smooth_labels(one_hot, recipe.settings.label_smoothing)
    if "target" in shared.batch:
        targets = seen("target")
    losses = optax.softmax_cross_entropy(logits, targets).mean(-1)  # [G, B] -> [G]
    entropies = optax.softmax_cross_entropy(logits, one_hot).mean(-1)
    accuracies = (logits.argmax(-1) == labels).mean(-1)
    loss = group.weights @ losses
    # The cross-entropy stands at the position of its path: a sum over devices, each
    # with some of the paths, then has those of all.
    positions = jax.nn.one_hot(group.positions, number_of_paths)  # [G, K]
    entropies = (group.weights * entropies) @ positions
    # A path that only fills up has a group of its own.
    records = jax.tree.map(lambda leaf: group.weights[0] * leaf, records)
    return loss, (batch_stats, records, loss, entropies, group.weights @ accuracies)


def _apply(
    model: Network,
    recipe: Recipe,
    params: Any,
    shared: Shared,
    inputs: Any,
    **options: Any,
) -> tuple[Array, Any, dict[str, Any]]:
    """A part of the network in training; its output, batch statistics, and records."""
    batch_stats = shared.variables["batch_stats"]
    outputs, changed = model.apply(
        {**shared.variables, "params": params},
        inputs,
        train=True,
        rngs={"dropout": shared.dropout_key},
        mutable=[*recipe.records, *(["batch_stats"] if batch_stats else [])],
        **options,
    )
    records = {name: changed.get(name, {}) for name in recipe.records}
    return outputs, changed.get("batch_stats", batch_stats), records
