"""Batch norm and the activation behind it, with a backward pass of their own.

The backward pass keeps the input instead of every intermediate and computes the rest
again. ReLU and ReLU6 clip the outputs, and their gradient is a comparison; of every
other activation, the gradient is that of JAX.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.ops.layout import Layout

EPSILON = 1e-5

Activation = Callable[[Array], Array]
# Scale and bias, or mean and variance: float32[C] each.
Pair = tuple[Array, Array]

# The activations that clip to 0 and a ceiling, and the ceiling.
CEILINGS: dict[Activation, float] = {jax.nn.relu: math.inf, jax.nn.relu6: 6.0}


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalize_batch(
    inputs: Array,
    scale: Array,
    bias: Array,
    layout: Layout,
    activation: Activation | None,
) -> tuple[Array, Array, Array]:
    """Batch norm with the statistics of the batch, then the activation.

    The returned statistics are constants to the backward pass. The variance is
    E[x^2] - E[x]^2, so that no deviation is written to memory.

    Args:
      inputs: a feature map.
      scale: float32[C].
      bias: float32[C].
      layout: of the inputs.
      activation: elementwise; None for the identity.

    Returns:
      outputs like the inputs, mean and biased variance float32[C].
    """
    return _forward(inputs, scale, bias, layout, activation)[0]


def normalize(
    inputs: Array,
    affine: Pair,
    statistics: Pair,
    layout: Layout,
    activation: Activation | None,
) -> Array:
    """The same with given statistics.

    Args:
      inputs: a feature map.
      affine: scale and bias, float32[C] each.
      statistics: mean and variance, float32[C] each.
      layout: of the inputs.
      activation: elementwise; None for the identity.
    """
    mean, var = statistics
    return _normalized(inputs, affine, (mean, _inverse(var)), layout, activation)


def _inverse(var: Array) -> Array:
    """One over the standard deviation."""
    return jax.lax.rsqrt(var + EPSILON)


def _normalized(
    inputs: Array,
    affine: Pair,
    moments: Pair,
    layout: Layout,
    activation: Activation | None,
) -> Array:
    outputs = _affine(inputs.astype(jnp.float32), affine, moments, layout)
    if activation is not None:
        ceiling = CEILINGS.get(activation)
        if ceiling is None:
            outputs = activation(outputs)
        else:
            outputs = jax.lax.clamp(0.0, outputs, ceiling)
    return outputs.astype(inputs.dtype)


def _affine(wide: Array, affine: Pair, moments: Pair, layout: Layout) -> Array:
    """Scale and shift; the moments are the mean and the `_inverse` of the variance."""
    (scale, bias), (mean, inverse) = affine, moments
    gain = scale * inverse
    shift = bias - mean * gain
    return wide * layout.along_channels(gain) + layout.along_channels(shift)


def _forward(inputs, scale, bias, layout: Layout, activation: Activation | None):
    count = inputs.size // scale.size
    wide = inputs.astype(jnp.float32)
    mean = wide.sum(layout.others) / count
    square = (wide * wide).sum(layout.others) / count
    var = jnp.maximum(square - mean * mean, 0)
    # The inverse is kept for the backward pass, not the variance: of each vector that
    # is kept XLA compiles a kernel, in a supernet a thousand of them.
    inverse = _inverse(var)
    outputs = _normalized(inputs, (scale, bias), (mean, inverse), layout, activation)
    return (outputs, mean, var), (inputs, scale, bias, mean, inverse)


def _backward(layout: Layout, activation: Activation | None, saved, cotangents):
    inputs, scale, bias, mean, inverse = saved
    wide, cotangent = (leaf.astype(jnp.float32) for leaf in (inputs, cotangents[0]))
    if activation is not None:
        # Computing these again is cheaper than reading them from memory.
        outputs = _affine(wide, (scale, bias), (mean, inverse), layout)
        ceiling = CEILINGS.get(activation)
        if ceiling is None:
            (cotangent,) = jax.vjp(activation, outputs)[1](cotangent)
        else:
            inside = (outputs > 0) & (outputs < ceiling)
            cotangent = jnp.where(inside, cotangent, 0)
    bias_gradient = cotangent.sum(layout.others)
    product = (cotangent * wide).sum(layout.others)
    scale_gradient = inverse * (product - mean * bias_gradient)
    # gain * (cotangent - mean of it - normalised * mean of cotangent * normalised)
    count = inputs.size // scale.size
    gain = scale * inverse
    slope = gain * inverse * scale_gradient / count
    offset = mean * slope - gain * bias_gradient / count
    gain, slope, offset = map(layout.along_channels, (gain, slope, offset))
    gradient = cotangent * gain - wide * slope + offset
    return gradient.astype(inputs.dtype), scale_gradient, bias_gradient


normalize_batch.defvjp(_forward, _backward)
