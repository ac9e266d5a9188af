"""Modules with weights, and what all blocks have in common.

Kernels live in the collection `frozen`, or in `params` where the method trains them;
`train_kernels` is the one switch: all of them, none, or only those that look at more
than one pixel. Initial values here are zeros: `initializers` fills
the leaves from the names of their modules, so names are part of the contract.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from difnas_jax.ops.convolutions import dense_conv, pointwise_conv
from difnas_jax.ops.depthwise import depthwise_conv
from difnas_jax.ops.layout import Layout
from difnas_jax.spaces.base import Op

RELU6 = 6.0
RELU = math.inf
# Where the activation of a space is clipped, by name.
ACTIVATIONS = {"relu6": RELU6, "relu": RELU}


Trained = bool | Literal["spatial"]


class Kernel(nn.Module):
    """A module whose weights are frozen or trained.

    Weights are float32 and take part in the type of the inputs.
    """

    train_kernels: Trained

    @property
    def trains(self) -> bool:
        """Whether the weights are parameters."""
        return self.train_kernels is True

    def weight(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """The leaf `name` of `params` or `frozen`."""
        if self.trains:
            return self.param(name, nn.initializers.zeros, shape).astype(dtype)
        return self.variable("frozen", name, jnp.zeros, shape).value.astype(dtype)


class SpatialKernel(Kernel):
    """A k x k kernel, which also trains where only spatial ones do."""

    @property
    def trains(self) -> bool:
        """See `Kernel.trains`."""
        spatial = self.train_kernels == "spatial" and self.kernel > 1
        return self.train_kernels is True or spatial


class Conv(SpatialKernel):
    """Dense k x k convolution with padding k // 2 and without bias.

    `frozen/kernel` or `params/kernel`: [k, k, C_in, C_out].
    """

    features: int
    kernel: int
    stride: int
    layout: Layout

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        channels = inputs.shape[self.layout.channel]
        shape = (self.kernel, self.kernel, channels, self.features)
        kernel = self.weight("kernel", shape, inputs.dtype)
        return dense_conv(inputs, kernel, self.stride, self.layout)


class Pointwise(Kernel):
    """1x1 convolution as a matrix product.

    `frozen/kernel` or `params/kernel`: [C_in, C_out].
    """

    features: int
    layout: Layout

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        shape = (inputs.shape[self.layout.channel], self.features)
        kernel = self.weight("kernel", shape, inputs.dtype)
        return pointwise_conv(inputs, kernel, self.layout)


class Linear(Kernel):
    """A fully connected layer.

    `frozen` or `params`: `kernel` [C_in, C_out] and, if there is one, `bias` [C_out].
    """

    features: int
    bias: bool = True

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """[B, C_in] -> [B, C_out]."""
        shape = (inputs.shape[-1], self.features)
        outputs = inputs @ self.weight("kernel", shape, inputs.dtype)
        if not self.bias:
            return outputs
        return outputs + self.weight("bias", (self.features,), inputs.dtype)


class Depthwise(SpatialKernel):
    """Depthwise k x k convolution.

    `frozen/kernel` or `params/kernel`: [k, k, 1, C].
    """

    kernel: int
    stride: int
    layout: Layout

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """A feature map -> one of the same channels."""
        shape = (self.kernel, self.kernel, 1, inputs.shape[self.layout.channel])
        kernel = self.weight("kernel", shape, inputs.dtype)
        return depthwise_conv(inputs, kernel, self.stride, self.layout)


class Block(nn.Module):
    """A candidate or fixed block: (feature map, train) -> feature map.

    Attributes:
      op: what to compute.
      out_channels, stride: the shape of the outputs.
      train_kernels: see `Kernel`.
      layout: of the feature maps.
      ceiling: of the activation, one of `ACTIVATIONS`.
    """

    op: Op
    out_channels: int
    stride: int
    train_kernels: Trained
    layout: Layout
    ceiling: float = RELU6

    def keeps_shape(self, inputs: Array) -> bool:
        """Whether the outputs have the shape of the inputs."""
        same_channels = inputs.shape[self.layout.channel] == self.out_channels
        return self.stride == 1 and same_channels
