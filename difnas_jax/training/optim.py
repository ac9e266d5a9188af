"""Optimizers: which leaves move, and when.

Three rules meet here. `TRAINABLE` says which leaves of `params` a method trains at all.
`only_sampled` keeps the leaves of candidates that no path of this update took exactly
where they are: a zero gradient would still leave momentum and weight decay acting on
them, and an indicator must not drift while it is not looked at. And weight decay
applies to kernels, never to batch norms or biases.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import optax
from jax import Array
from ml_collections import ConfigDict

from difnas_jax.models.blocks import INDICATOR_BATCH_NORMS
from difnas_jax.models.layers import layer_name
from difnas_jax.spaces.base import SearchSpace

Leaf = tuple[str, ...]


def _is_classifier(leaf: Leaf) -> bool:
    return leaf[0] == "classifier"  # among `params` only where it trains


def _is_indicator(leaf: Leaf) -> bool:
    last = leaf[0].startswith("layer_") and leaf[-2] in INDICATOR_BATCH_NORMS
    return last or _is_classifier(leaf)


def _is_batch_norm(leaf: Leaf) -> bool:
    return leaf[-2].startswith("bn_") or _is_classifier(leaf)


# Among the leaves of `params`: a frozen kernel is none of them.
TRAINABLE: dict[str, Callable[[Leaf], bool]] = {
    "indicator": _is_indicator,
    "all_bn": _is_batch_norm,
    "spatial": lambda leaf: _is_batch_norm(leaf) or leaf[-1] == "kernel",
    "all": lambda leaf: True,
}


def split_frozen(
    params: Any, trainable: str, train_classifier: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Move the kernels that do not train out of `params`.

    Args:
      params: all weights of a network, or their shapes.
      trainable: key of `TRAINABLE`.
      train_classifier: whether the classifier trains where kernels are frozen.

    Returns:
      The collections `params` and `frozen`.
    """

    def is_frozen(leaf: Leaf, value: Any) -> bool:
        if trainable == "all":
            return False
        if leaf[0] == "classifier":
            return not train_classifier
        is_spatial = len(value.shape) == 4 and value.shape[0] > 1
        return leaf[-1] == "kernel" and not (trainable == "spatial" and is_spatial)

    flat: dict[Leaf, Any] = flax.traverse_util.flatten_dict(params)
    frozen = {leaf: value for leaf, value in flat.items() if is_frozen(leaf, value)}
    rest = {leaf: value for leaf, value in flat.items() if leaf not in frozen}
    unflatten = flax.traverse_util.unflatten_dict
    return unflatten(rest), unflatten(frozen)


Packed = dict[str, Array]

KERNELS = "kernels"


@dataclasses.dataclass(frozen=True)
class Packing:
    """The trained leaves as two vectors, one of kernels and one of everything else.

    A supernet has a thousand small leaves; an optimizer that walks over them spends
    more time on starting than on computing. Weight decay applies to kernels only, hence
    two vectors.

    Attributes:
      leaves: names of the trained leaves of each vector, in order.
    """

    leaves: dict[str, tuple[Leaf, ...]]

    @classmethod
    def of(cls, params: Any, rule: Callable[[Leaf], bool]) -> Packing:
        """Pack the leaves of `params` whose names satisfy a rule of `TRAINABLE`."""
        trained = sorted(filter(rule, flax.traverse_util.flatten_dict(params)))
        groups = {
            KERNELS: tuple(leaf for leaf in trained if leaf[-1] == "kernel"),
            "others": tuple(leaf for leaf in trained if leaf[-1] != "kernel"),
        }
        return cls({name: group for name, group in groups.items() if group})

    def select(self, params: Any) -> dict[Leaf, Array]:
        """The trained leaves by name."""
        flat: dict[Leaf, Any] = flax.traverse_util.flatten_dict(params)
        return {leaf: flat[leaf] for group in self.leaves.values() for leaf in group}

    def pack(self, leaves: dict[Leaf, Array]) -> Packed:
        """Leaves by name -> one vector for each group."""
        return {
            name: jnp.concatenate([leaves[leaf].ravel() for leaf in group])
            for name, group in self.leaves.items()
        }

    def unpack(self, packed: Packed, params: Any) -> Any:
        """`params` with the trained leaves taken from the vectors."""
        old, new = self.select(params), {}
        for name, group in self.leaves.items():
            parts = jax.lax.split(packed[name], [old[leaf].size for leaf in group])
            for leaf, part in zip(group, parts, strict=True):
                new[leaf] = part.reshape(old[leaf].shape)
        return self.merge(new, params)

    def merge(self, leaves: dict[Leaf, Array], params: Any) -> Any:
        """`params` with some leaves replaced."""
        flat = flax.traverse_util.flatten_dict(params)
        return flax.traverse_util.unflatten_dict({**flat, **leaves})

    def sampled(self, params: Any, paths: Array, space: SearchSpace) -> Packed:
        """Which entries the paths of an update pass through.

        Args:
          params: nested dictionary, for the shapes.
          paths: int32[K, L].
          space: the sampled space.

        Returns:
          bool vectors; entries outside of candidates (and of always-on branches) are
          always passed.
        """
        taken: dict[Leaf, Array] = {
            (layer_name(number), space.ops[op].name): (paths[:, number] == op).any()
            for number, layer in enumerate(space.layers)
            for op in layer.ops
        }
        always = jnp.asarray(True)
        masks = {
            leaf: jnp.broadcast_to(taken.get(leaf[:2], always), array.shape)
            for leaf, array in self.select(params).items()
        }
        return self.pack(masks)


def only_sampled(
    inner: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Leave unsampled leaves and their optimizer state untouched.

    The update takes the extra argument `sampled`, a tree of bools like the (packed)
    parameters.
    """

    def update(
        updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        updates, new_state = inner.update(updates, state, params)
        updates = jax.tree.map(
            lambda update, taken: jnp.where(taken, update, 0), updates, extra["sampled"]
        )
        moves = optax.tree.map_params(
            inner,
            lambda _, taken: taken,
            new_state,
            extra["sampled"],
            transform_non_params=lambda _: True,  # such as a count of updates
        )
        return updates, jax.tree.map(jnp.where, moves, new_state, state)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def total_steps(config: ConfigDict, examples: int, passes: int = 1) -> int:
    """Updates of a training.

    An epoch counts images passed through a path: with K paths on the same batch, one
    update counts as K batches.

    Args:
      config: a training section (`supernet`, `retrain`).
      examples: size of the training split.
      passes: how often each image of a batch passes through a path.
    """
    updates = config.epochs * examples / (config.batch_size * passes)
    return config.steps or max(1, round(updates))


SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "cosine": lambda peak, steps: optax.cosine_decay_schedule(peak, steps),
    "linear": lambda peak, steps: optax.linear_schedule(peak, 0.0, steps),
}


def learning_rate(config: ConfigDict, steps: int) -> optax.Schedule:
    """The learning rate by step, scaled linearly with the batch.

    Args:
      config: a training section.
      steps: total updates.
    """
    peak = config.learning_rate * config.batch_size / config.reference_batch
    warmup = min(config.warmup_steps, steps - 1)
    decay = SCHEDULES[config.schedule](peak, steps - warmup)
    if warmup == 0:
        return decay
    rise = optax.linear_schedule(0.0, peak, warmup)
    return optax.join_schedules([rise, decay], [warmup])


# What becomes of the gradient, before the learning rate. Adam forgets squares faster
# than by default (0.999): a supernet trains for some thousand updates.
OPTIMIZERS: dict[str, Callable[[ConfigDict], optax.GradientTransformation]] = {
    "sgd": lambda config: optax.trace(config.momentum),
    "adam": lambda config: optax.scale_by_adam(b1=config.momentum, b2=0.99),
}


def optimizer(config: ConfigDict, steps: int) -> optax.GradientTransformationExtraArgs:
    """The optimizer of packed leaves, of which those move that were sampled.

    Args:
      config: a training section.
      steps: total updates.
    """
    parts = []
    if config.clip_value:
        parts.append(optax.clip(config.clip_value))
    if config.clip_norm:
        parts.append(optax.clip_by_global_norm(config.clip_norm))
    if config.weight_decay:
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=_decayed))
    parts.append(OPTIMIZERS[config.optimizer](config))
    parts.append(optax.scale_by_learning_rate(learning_rate(config, steps)))
    return only_sampled(optax.chain(*parts))


def _decayed(packed: Packed) -> dict[str, bool]:
    return {name: name == KERNELS for name in packed}
