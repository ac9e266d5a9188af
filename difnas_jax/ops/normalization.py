"""Batch norm and the activation behind it, in one piece where there is a fused form.

The backward pass is written out: it keeps the input instead of every intermediate. ReLU
and ReLU6 clip the outputs, which the same backward pass takes into account. Every other
activation is applied to the outputs and differentiated by JAX.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.ops.layout import Layout

EPSILON = 1e-5

Activation = Callable[[Array], Array]

# Activations that clip to 0 and a ceiling, and the ceiling: those with a fused form.
CEILINGS: dict[Activation, float] = {jax.nn.relu: math.inf, jax.nn.relu6: 6.0}


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
    ceiling, rest = _fused(activation)
    normalized: Any = _normalize_batch(inputs, scale, bias, layout, ceiling)
    outputs, mean, var = normalized
    return rest(outputs), mean, var


def normalize(
    inputs: Array,
    scale: Array,
    bias: Array,
    statistics: tuple[Array, Array],
    layout: Layout,
    activation: Activation | None,
) -> Array:
    """The same with a given mean and variance, float32[C] each."""
    ceiling, rest = _fused(activation)
    mean, var = statistics
    return rest(_normalize(inputs, scale, bias, mean, var, layout, ceiling))


def _fused(activation: Activation | None) -> tuple[float | None, Activation]:
    """The ceiling that is part of the batch norm, and what comes behind it."""
    if activation is None:
        return None, lambda outputs: outputs
    if activation in CEILINGS:
        return CEILINGS[activation], lambda outputs: outputs
    return None, activation


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _normalize_batch(
    inputs: Array, scale: Array, bias: Array, layout: Layout, ceiling: float | None
) -> tuple[Array, Array, Array]:
    return _forward(inputs, scale, bias, layout, ceiling)[0]


def _forward(inputs, scale, bias, layout: Layout, ceiling: float | None):
    count = inputs.size // scale.size
    wide = inputs.astype(jnp.float32)
    mean = wide.sum(layout.others) / count
    square = (wide * wide).sum(layout.others) / count
    var = jnp.maximum(square - mean * mean, 0)
    outputs = _normalize(inputs, scale, bias, mean, var, layout, ceiling)
    return (outputs, mean, var), (inputs, scale, bias, mean, var)


def _backward(layout: Layout, ceiling: float | None, saved, cotangents):
    inputs, scale, bias, mean, var = saved
    wide, cotangent = (leaf.astype(jnp.float32) for leaf in (inputs, cotangents[0]))
    if ceiling is not None:
        # Computing the outputs again is cheaper than reading them from memory.
        outputs = _affine(wide, scale, bias, mean, var, layout)
        cotangent = jnp.where((outputs > 0) & (outputs < ceiling), cotangent, 0)
    inverse = jax.lax.rsqrt(var + EPSILON)
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


_normalize_batch.defvjp(_forward, _backward)


def _affine(wide, scale, bias, mean, var, layout: Layout) -> Array:
    gain = scale * jax.lax.rsqrt(var + EPSILON)
    shift = bias - mean * gain
    return wide * layout.along_channels(gain) + layout.along_channels(shift)


def _normalize(
    inputs, scale, bias, mean, var, layout: Layout, ceiling: float | None
) -> Array:
    wide = inputs.astype(jnp.float32)
    outputs = _affine(wide, scale, bias, mean, var, layout)
    if ceiling is not None:
        outputs = jax.lax.clamp(0.0, outputs, ceiling)
    return outputs.astype(inputs.dtype)
