"""Convolutions, batch norm, a linear layer, and what all blocks have in common.

Every weight is created in the collection `params`. A training that does not train it
may move it to the collection `frozen`, under the same path; a weight is read from
whichever of the two has it. Initial values here are zeros: `initializers` fills the
leaves from the names of their modules, so names are part of the contract.

Batch norm keeps running statistics only where the caller asks for them. A supernet
trains on batch statistics and keeps no running ones, since those would mix paths; a
found network and a path under evaluation need them. The caller decides by making the
collection `batch_stats` mutable or not.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.models import codes, kernel_inputs
from difnas_jax.ops.convolutions import dense_conv, depthwise_conv, pointwise_conv
from difnas_jax.ops.layout import CHANNELS_LAST, Layout
from difnas_jax.ops.normalization import Activation, normalize, normalize_batch
from difnas_jax.spaces.base import Op

# Activations by the name that a space or a method gives. Any elementwise function may
# join them here and in `isometry.mean_field.FUNCTIONS`; `ops.normalization` has a
# fused form of some.
ACTIVATIONS: dict[str, Activation] = {
    "leaky_relu": jax.nn.leaky_relu,  # slope 0.01 below 0
    "linear": lambda inputs: inputs,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "sigmoid": jax.nn.sigmoid,
    "swish": jax.nn.swish,
    "tanh": jnp.tanh,
}

MOMENTUM = 0.9


class Weighted(nn.Module):
    """A module with weights: float32 leaves, cast to the type of the inputs."""

    def is_frozen(self, name: str = "kernel") -> bool:
        """Whether the collection `frozen` has the leaf `name`."""
        return self.has_variable("frozen", name)

    def weight(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """The leaf `name` of `frozen` if that collection has it, else of `params`."""
        if self.is_frozen(name):
            value: Any = self.get_variable("frozen", name)
        else:
            value = self.param(name, nn.initializers.zeros, shape)
        return value.astype(dtype)


class Conv(Weighted):
    """Dense k x k convolution with padding k // 2 and without bias.

    `kernel`: [k, k, C_in, C_out].
    """

    features: int
    kernel: int
    stride: int
    layout: Layout

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        channels = inputs.shape[self.layout.channel]
        shape = self.kernel, self.kernel, channels, self.features
        kernel_inputs.record(self, inputs, self.layout, self.kernel, self.stride)
        kernel = self.weight("kernel", shape, inputs.dtype)
        return dense_conv(inputs, kernel, self.stride, self.layout, self.is_frozen())


class Pointwise(Weighted):
    """1x1 convolution as a matrix product.

    `kernel`: [C_in, C_out].
    """

    features: int
    layout: Layout

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        shape = (inputs.shape[self.layout.channel], self.features)
        kernel_inputs.record(self, inputs, self.layout)
        kernel = self.weight("kernel", shape, inputs.dtype)
        return pointwise_conv(inputs, kernel, self.layout)


class Depthwise(Weighted):
    """Depthwise k x k convolution.

    `kernel`: [k, k, 1, C].
    """

    kernel: int
    stride: int
    layout: Layout

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """A feature map -> one of the same channels."""
        shape = (self.kernel, self.kernel, 1, inputs.shape[self.layout.channel])
        options = self.layout, self.kernel, self.stride
        kernel_inputs.record(self, inputs, *options, depthwise=True)
        kernel = self.weight("kernel", shape, inputs.dtype)
        return depthwise_conv(
            inputs, kernel, self.stride, self.layout, self.is_frozen()
        )


class Linear(Weighted):
    """A fully connected layer.

    `kernel` [C_in, C_out] and, if `use_bias`, `bias` [C_out].
    """

    features: int
    use_bias: bool

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """[B, C_in] -> [B, C_out]."""
        kernel_inputs.record(self, inputs[:, None, None], CHANNELS_LAST)
        shape = (inputs.shape[-1], self.features)
        outputs = inputs @ self.weight("kernel", shape, inputs.dtype)
        if not self.use_bias:
            return outputs
        return outputs + self.weight("bias", (self.features,), inputs.dtype)


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
        if train:
            normalized: Any = normalize_batch(inputs, scale, bias, *options)
            outputs, *batch_stats = normalized
            if self.activation is not None:
                codes.record(self, outputs, self.layout)
            if not self.is_mutable_collection("batch_stats"):
                return outputs
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        var = self.variable("batch_stats", "var", jnp.ones, channels)
        if not train:
            statistics = mean.value, var.value
            outputs = normalize(inputs, (scale, bias), statistics, *options)
            if self.activation is not None:
                codes.record(self, outputs, self.layout)
            return outputs
        if not self.is_initializing():
            for running, batch in zip((mean, var), batch_stats, strict=True):
                batch = jax.lax.stop_gradient(batch)
                running.value = MOMENTUM * running.value + (1 - MOMENTUM) * batch
        return outputs


def normed(
    module: Any, inputs: Array, train: bool, activation: Activation | None = None
) -> Array:
    """The module, then batch norm under its name behind `bn_`, then the activation."""
    norm = BatchNorm(module.layout, activation, name=f"bn_{module.name}")
    return norm(module(inputs), train)


class Block(nn.Module):
    """A candidate or fixed block: (feature map, train) -> feature map.

    Attributes:
      op: what to compute.
      out_channels, stride: the shape of the outputs.
      layout: of the feature maps.
      activation: one of `ACTIVATIONS`.
    """

    op: Op
    out_channels: int
    stride: int
    layout: Layout
    activation: Activation

    def keeps_shape(self, inputs: Array) -> bool:
        """Whether the outputs have the shape of the inputs."""
        channels = inputs.shape[self.layout.channel]
        return self.stride == 1 and channels == self.out_channels
