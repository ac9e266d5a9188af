"""Where numbers that train beside the gammas enter, in the attempts of ATTEMPTS.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.models.network import Network
from difnas_jax.ops.normalization import EPSILON

# (network, variables, numbers float32[L, O], images, path) -> logits
Apply = Callable[[Network, Any, Array, Array, Array], Any]


def plain(
    net: Network, variables: Any, numbers: Array, images: Array, path: Any
) -> Any:
    """The supernet as it is."""
    return net.apply(variables, images, path, True)


def along(numbers: Array, path: Array) -> Array:
    """The numbers of the ops of a path, float32[L]."""
    return numbers[jnp.arange(len(path)), path]


def behind_head(
    net: Network, variables: Any, numbers: Array, images: Array, path: Array
) -> Any:
    """The output of the head, and so the logits, times exp of the sum of numbers."""
    centred = numbers - numbers.mean(1, keepdims=True)
    logits: Any = net.apply(variables, images, path, True)
    return logits * jnp.exp(along(centred, path).sum())


def before_head(
    net: Network, variables: Any, numbers: Array, images: Array, path: Array
) -> Any:
    """The same in front of the batch norm of the head."""
    centred = numbers - numbers.mean(1, keepdims=True)

    def scaled(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if context.module.name == "bn_head" and context.method_name == "__call__":
            factor = jnp.exp(along(centred, path).sum())
            return call(args[0] * factor, *args[1:], **kwargs)
        return call(*args, **kwargs)

    with nn.intercept_methods(scaled):
        return net.apply(variables, images, path, True)


def budgeted(
    net: Network, variables: Any, numbers: Array, images: Array, path: Array
) -> Any:
    """The last batch norms of a layer share a budget of scale."""
    shares = numbers.shape[1] * jax.nn.softmax(numbers, axis=-1)
    params: Any = flax.traverse_util.flatten_dict(variables["params"])
    for leaf in [leaf for leaf in params if is_last(leaf)]:
        layer, op = int(leaf[0][-2:]), [op.name for op in net.space.ops].index(leaf[1])
        params[leaf] = params[leaf] * shares[layer, op]
    tree = flax.traverse_util.unflatten_dict(params)
    return net.apply({**variables, "params": tree}, images, path, True)


def normalised(logits: Array, epsilon: float = EPSILON) -> Array:
    """Logits around the means of their classes, of standard deviation 1."""
    around = logits - logits.mean(0)
    return around / jnp.sqrt(jnp.square(around).mean() + epsilon)


def behind_norm(
    net: Network, variables: Any, numbers: Array, images: Array, path: Array
) -> Any:
    """Normalised logits times exp of the sum of the numbers."""
    logits: Any = net.apply(variables, images, path, True)
    return normalised(logits) * jnp.exp(along(numbers, path).sum())


def before_norm(
    net: Network, variables: Any, numbers: Array, images: Array, path: Array
) -> Any:
    """The same in front of the normalisation."""
    logits: Any = net.apply(variables, images, path, True)
    return normalised(logits * jnp.exp(along(numbers, path).sum()))


def before_exact_norm(
    net: Network, variables: Any, numbers: Array, images: Array, path: Array
) -> Any:
    """The same where the normalisation adds nothing to the variance."""
    logits: Any = net.apply(variables, images, path, True)
    return normalised(logits * jnp.exp(along(numbers, path).sum()), epsilon=0.0)


def is_last(leaf: tuple[str, ...]) -> bool:
    """Whether it is the scale of the last batch norm of a candidate."""
    return leaf[0].startswith("layer_") and leaf[-2:] == ("bn_project", "scale")
