"""Batch norm that keeps running statistics only where somebody asks for them.

A supernet trains on batch statistics and keeps no running ones, since those would mix
paths; a found network and a path under evaluation need them. The caller decides by
making the collection `batch_stats` mutable or not.
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

EPSILON = 1e-5
MOMENTUM = 0.9


class BatchNorm(nn.Module):
    """y = scale * (x - mean) / sqrt(variance + 1e-5) + bias, per channel (eqs. 13-14).

    Variables: `params/scale`, `params/bias`, and `batch_stats/mean`, `batch_stats/var`
    (biased variance, running average with momentum 0.9), each [C].
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """Normalise.

        Args:
          inputs: [B, H, W, C].
          train: use the statistics of this batch (global under `jit` with a sharded
            batch) and, if `batch_stats` is mutable, move the running ones; otherwise
            use the running ones.
        """
        channels = inputs.shape[-1:]
        scale = self.param("scale", nn.initializers.ones, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        if train and not self.is_mutable_collection("batch_stats"):
            return normalize_batch(inputs, scale, bias)[0]
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        var = self.variable("batch_stats", "var", jnp.ones, channels)
        if not train:
            gain = scale * jax.lax.rsqrt(var.value + EPSILON)
            return inputs * gain + (bias - mean.value * gain)
        outputs, batch_mean, batch_var = normalize_batch(inputs, scale, bias)
        if not self.is_initializing():
            for running, batch in ((mean, batch_mean), (var, batch_var)):
                batch = jax.lax.stop_gradient(batch)
                running.value = MOMENTUM * running.value + (1 - MOMENTUM) * batch
        return outputs


@jax.custom_vjp
def normalize_batch(
    inputs: Array, scale: Array, bias: Array
) -> tuple[Array, Array, Array]:
    """Batch norm with the statistics of the batch.

    The backward pass is written out: it saves the input instead of every intermediate,
    and treats the returned statistics as constants.

    Args:
      inputs: [B, H, W, C].
      scale: [C].
      bias: [C].

    Returns:
      outputs [B, H, W, C], mean [C] and biased variance [C].
    """
    mean = inputs.mean((0, 1, 2))
    var = jnp.square(inputs - mean).mean((0, 1, 2))
    gain = scale * jax.lax.rsqrt(var + EPSILON)
    return inputs * gain + (bias - mean * gain), mean, var


def _forward(inputs: Array, scale: Array, bias: Array):
    outputs = normalize_batch(inputs, scale, bias)
    return outputs, (inputs, scale, *outputs[1:])


def _backward(saved: tuple[Array, ...], cotangents: tuple[Array, Array, Array]):
    inputs, scale, mean, var = saved
    cotangent = cotangents[0]
    count = functools.reduce(lambda size, axis: size * axis, inputs.shape[:3], 1)
    inverse = jax.lax.rsqrt(var + EPSILON)
    normalized = (inputs - mean) * inverse
    bias_gradient = cotangent.sum((0, 1, 2))
    scale_gradient = (cotangent * normalized).sum((0, 1, 2))
    centred = cotangent - bias_gradient / count - normalized * (scale_gradient / count)
    return centred * (scale * inverse), scale_gradient, bias_gradient


normalize_batch.defvjp(_forward, _backward)
