"""Batch norm that keeps running statistics only where somebody asks for them.

A supernet trains on batch statistics and keeps no running ones, since those would mix
paths; a found network and a path under evaluation need them. The caller decides by
making the collection `batch_stats` mutable or not.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.ops.layout import Layout

EPSILON = 1e-5
MOMENTUM = 0.9


class BatchNorm(nn.Module):
    """y = scale * (x - mean) / sqrt(variance + 1e-5) + bias, per channel (eqs. 13-14).

    Variables: `params/scale`, `params/bias`, and `batch_stats/mean`, `batch_stats/var`
    (biased variance, running average with momentum 0.9), each float32[C]; statistics
    are float32 whatever the inputs are.

    Attributes:
      layout: of the inputs.
      ceiling: clip the outputs to 0 and this, which is ReLU6 for 6 and ReLU for
        infinity; None does not clip.
    """

    layout: Layout
    ceiling: float | None = None

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """Normalise.

        Args:
          inputs: a feature map.
          train: use the statistics of this batch (global under `jit` with a sharded
            batch) and, if `batch_stats` is mutable, move the running ones; otherwise
            use the running ones.
        """
        channels = inputs.shape[self.layout.channel]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        options = self.layout, self.ceiling
        if train and not self.is_mutable_collection("batch_stats"):
            normalized: Any = normalize_batch(inputs, scale, bias, *options)
            return normalized[0]
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        var = self.variable("batch_stats", "var", jnp.ones, channels)
        if not train:
            return _normalize(inputs, scale, bias, mean.value, var.value, *options)
        normalized: Any = normalize_batch(inputs, scale, bias, *options)
        outputs, *batch_stats = normalized
        if not self.is_initializing():
            for running, batch in zip((mean, var), batch_stats, strict=True):
                batch = jax.lax.stop_gradient(batch)
                running.value = MOMENTUM * running.value + (1 - MOMENTUM) * batch
        return outputs


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalize_batch(
    inputs: Array, scale: Array, bias: Array, layout: Layout, ceiling: float | None
) -> tuple[Array, Array, Array]:
    """Batch norm with the statistics of the batch, clipped if asked for.

    The backward pass is written out: it keeps the input instead of every intermediate,
    and treats the returned statistics as constants. The variance is E[x^2] - E[x]^2,
    so that no deviation is written to memory.

    Args:
      inputs: a feature map.
      scale: float32[C].
      bias: float32[C].
      layout: of the inputs.
      ceiling: see `BatchNorm`.

    Returns:
      outputs like the inputs, mean and biased variance float32[C].
    """
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


normalize_batch.defvjp(_forward, _backward)


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
