"""Batch norm that keeps running statistics only where the caller asks for them.

A supernet trains on batch statistics and keeps no running ones, since those would mix
paths; a found network and a path under evaluation need them. The caller decides by
making the collection `batch_stats` mutable or not.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.ops.layout import Layout
from difnas_jax.ops.normalization import Activation, normalize, normalize_batch

MOMENTUM = 0.9


class BatchNorm(nn.Module):
    """y = scale * (x - mean) / sqrt(variance + 1e-5) + bias, per channel (eqs. 13-14).

    Variables: `params/scale`, `params/bias`, and `batch_stats/mean`, `batch_stats/var`
    (biased variance, running average with momentum 0.9), each float32[C]; statistics
    are float32 whatever the inputs are.

    Attributes:
      layout: of the inputs.
      activation: applied to the outputs; None applies nothing.
    """

    layout: Layout
    activation: Activation | None = None

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
        options = self.layout, self.activation
        if train and not self.is_mutable_collection("batch_stats"):
            normalized: Any = normalize_batch(inputs, scale, bias, *options)
            return normalized[0]
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        var = self.variable("batch_stats", "var", jnp.ones, channels)
        if not train:
            statistics = mean.value, var.value
            return normalize(inputs, (scale, bias), statistics, *options)
        normalized: Any = normalize_batch(inputs, scale, bias, *options)
        outputs, *batch_stats = normalized
        if not self.is_initializing():
            for running, batch in zip((mean, var), batch_stats, strict=True):
                batch = jax.lax.stop_gradient(batch)
                running.value = MOMENTUM * running.value + (1 - MOMENTUM) * batch
        return outputs
