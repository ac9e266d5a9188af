"""Optimizers: which entries move, and by how much.

Two masks decide what moves in an update, see `masked`. `optax.partition` gives every
parameter what its fate asks for (see `fates`): the optimizer where it trains, and
`optax.set_to_zero` where it is held. Of what trains, `only_moving` moves what is on a
path of this update: a zero gradient would still leave momentum and weight decay acting
on the rest, and an indicator must not drift while its candidate is not sampled. Weight
decay applies to kernels, never to batch norms or biases.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import optax
from jax import Array
from ml_collections import ConfigDict

from difnas_jax.models.layers import layer_name
from difnas_jax.models.logit_norm import LOGIT_GAMMAS
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.training.fates import (
    HELD,
    TRAINED,
    Fates,
    Leaf,
    leaves_of,
    tree_of,
)

Packed = dict[str, Array]

KERNELS, LOGITS, OTHERS = "kernels", "logit gammas", "others"


@dataclasses.dataclass(frozen=True)
class Packing:
    """All parameters as vectors: those that train by their rates, and held ones.

    A supernet has a thousand small leaves; a training step whose sums and optimizer
    walk over them takes the same time, but compiles up to twice as long.

    Attributes:
      groups: names of the leaves of each vector, in order; no group is empty.
    """

    groups: dict[str, tuple[Leaf, ...]]

    @classmethod
    def of(cls, fates: Fates) -> Self:
        """Pack the leaves of `params`, whose fates these are."""
        flat = leaves_of(fates)
        trained = [leaf for leaf in sorted(flat) if flat[leaf] == TRAINED]
        groups = {
            **{
                name: tuple(leaf for leaf in trained if _group(leaf) == name)
                for name in (KERNELS, LOGITS, OTHERS)
            },
            HELD: tuple(leaf for leaf in sorted(flat) if flat[leaf] == HELD),
        }
        return cls({name: group for name, group in groups.items() if group})

    def pack(self, params: Any) -> Packed:
        """Nested parameters, or what is like them, -> one vector for each group."""
        leaves = leaves_of(params)
        return {
            name: jnp.concatenate([leaves[leaf].ravel() for leaf in group])
            for name, group in self.groups.items()
        }

    def unpack(self, packed: Packed, params: Any) -> Any:
        """The inverse of `pack`.

        Args:
          packed: the vectors.
          params: nested dictionary, for the shapes.
        """
        old, new = leaves_of(params), {}
        for name, group in self.groups.items():
            parts = jax.lax.split(packed[name], [old[leaf].size for leaf in group])
            for leaf, part in zip(group, parts, strict=True):
                new[leaf] = part.reshape(old[leaf].shape)
        return tree_of(new)

    def moves(self, params: Any, paths: Array, space: SearchSpace) -> Packed:
        """Which entries an update may move: those that are on one of its paths.

        Args:
          params: nested dictionary, for the shapes.
          paths: int32[K, L].
          space: the sampled space.

        Returns:
          bool vectors. What is no part of a candidate, and an always-on identity, is on
          every path.
        """
        chosen = (paths[..., None] == jnp.arange(len(space.ops))).any(0)  # [L, O]
        sampled: dict[Leaf, Array] = {
            (layer_name(layer), space.ops[op].name): chosen[layer, op]
            for layer in range(space.num_layers)
            for op in space.layers[layer].ops
        }
        always = jnp.asarray(True)
        sampled[LOGIT_GAMMAS] = chosen
        masks = {
            leaf: jnp.broadcast_to(sampled.get(leaf[:2], always), array.shape)
            for leaf, array in leaves_of(params).items()
        }
        return self.pack(tree_of(masks))


def _group(leaf: Leaf) -> str:
    """With which leaves one that trains shares its rate."""
    if leaf == LOGIT_GAMMAS:
        return LOGITS
    return KERNELS if leaf[-1] == "kernel" else OTHERS


def only_moving(
    inner: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Mask an optimizer anew in each update; masked entries keep their state, too.

    The update takes the extra argument `moves`, a tree of bools like the parameters.
    `optax.masked` is no substitute, since its mask is fixed.
    """

    def update(
        updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        moves = extra["moves"]
        updates, new_state = inner.update(updates, state, params)
        updates = jax.tree.map(
            lambda update, moving: jnp.where(moving, update, 0), updates, moves
        )
        changes = optax.tree.map_params(
            inner,
            lambda _, moving: moving,
            new_state,
            moves,
            transform_non_params=lambda _: True,  # such as a count of updates
        )
        return updates, jax.tree.map(jnp.where, changes, new_state, state)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def masked(
    inner: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Let an optimizer move what trains and is on a path of the update, nothing else.

    The parameters are packed; see `only_moving` for the argument of an update.
    """
    return optax.partition(
        {TRAINED: only_moving(inner), HELD: optax.set_to_zero()},
        lambda packed: {name: HELD if name == HELD else TRAINED for name in packed},
        mask_compatible_extra_args=True,  # `moves` loses what is held, too
    )


def total_steps(settings: ConfigDict, examples: int, passes: int) -> int:
    """Updates of a training.

    An epoch counts images passed through a path: with K paths on the same batch, one
    update counts as K batches.

    Args:
      settings: a training section (`supernet`, `retrain`).
      examples: size of the training split.
      passes: how often each image of a batch passes through a path.
    """
    updates = settings.epochs * examples / (settings.batch_size * passes)
    return settings.steps or max(1, round(updates))


SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "cosine": lambda peak, steps: optax.cosine_decay_schedule(peak, steps),
    "linear": lambda peak, steps: optax.linear_schedule(peak, 0.0, steps),
}


def learning_rate(settings: ConfigDict, steps: int) -> optax.Schedule:
    """The learning rate by step, scaled linearly with the batch.

    Args:
      settings: a training section.
      steps: total updates.
    """
    peak = settings.learning_rate * settings.batch_size / settings.reference_batch
    warmup = min(settings.warmup_steps, steps - 1)
    decay = SCHEDULES[settings.schedule](peak, steps - warmup)
    if warmup == 0:
        return decay
    rise = optax.linear_schedule(0.0, peak, warmup)
    return optax.join_schedules([rise, decay], [warmup])


# What becomes of the gradient, before the learning rate. Adam forgets squares faster
# than by default (0.999): a supernet trains for some thousand updates.
OPTIMIZERS: dict[str, Callable[[ConfigDict], optax.GradientTransformation]] = {
    "sgd": lambda settings: optax.trace(settings.momentum),
    "adam": lambda settings: optax.scale_by_adam(b1=settings.momentum, b2=0.99),
}


def optimizer(
    settings: ConfigDict, steps: int
) -> optax.GradientTransformationExtraArgs:
    """The optimizer of packed parameters.

    Args:
      settings: a training section.
      steps: total updates.
    """
    parts = []
    if settings.clip_value:
        parts.append(optax.clip(settings.clip_value))
    if settings.clip_norm:
        parts.append(optax.clip_by_global_norm(settings.clip_norm))
    if settings.weight_decay:
        parts.append(optax.add_decayed_weights(settings.weight_decay, mask=_kernels))
    parts.append(OPTIMIZERS[settings.optimizer](settings))
    parts.append(optax.scale_by_learning_rate(learning_rate(settings, steps)))
    # A found network has no gammas of logits.
    shares = {KERNELS: settings.kernel_rate, LOGITS: settings.get("logit_rate", 1.0)}
    parts.append(optax.stateless(functools.partial(_by_group, shares)))
    return masked(optax.chain(*parts))


def _by_group(shares: dict[str, float], updates: Any, params: Any) -> Any:
    """Scale the updates of the groups that have rates of their own."""
    return {
        name: update if shares.get(name, 1.0) == 1 else shares[name] * update
        for name, update in updates.items()
    }


def _kernels(packed: Any) -> dict[str, bool]:
    return {name: name == KERNELS for name in packed}
