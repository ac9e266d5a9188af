"""The blocks of the networks, with batch norms named by role.

Kernels live in the collection `frozen`, or in `params` where the method trains them;
`train_kernels` is the one switch. Initial values here are zeros: `initializers` fills
the leaves from their names, so names are part of the contract:
`stem`, `expand`, `depthwise`, `project`, `head`, `classifier`.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from difnas_jax.models.batchnorm import BatchNorm
from difnas_jax.models.convolutions import dense_conv, pointwise_conv
from difnas_jax.models.depthwise import depthwise_conv
from difnas_jax.models.layout import Layout
from difnas_jax.spaces.base import Op

# The ceiling of ReLU6.
RELU6 = 6.0


class Kernel(nn.Module):
    """A module whose weights are frozen or trained.

    Weights are float32 and take part in the type of the inputs.
    """

    train_kernels: bool

    def weight(self, name: str, shape: tuple[int, ...], dtype: Any) -> Array:
        """The leaf `name` of `params` or `frozen`."""
        if self.train_kernels:
            return self.param(name, nn.initializers.zeros, shape).astype(dtype)
        return self.variable("frozen", name, jnp.zeros, shape).value.astype(dtype)


class Conv(Kernel):
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

    `frozen` or `params`: `kernel` [C_in, C_out] and `bias` [C_out].
    """

    features: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """[B, C_in] -> [B, C_out]."""
        shape = (inputs.shape[-1], self.features)
        outputs = inputs @ self.weight("kernel", shape, inputs.dtype)
        return outputs + self.weight("bias", (self.features,), inputs.dtype)


class Depthwise(Kernel):
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


class InvertedResidual(nn.Module):
    """MobileNetV2 block: expand, depthwise, project, each with its batch norm.

    `bn_project` is the block indicator (the last batch norm, no activation after it).
    With expansion 1 there is no expanding convolution. Adds its input where the shape
    is kept.
    """

    op: Op
    out_channels: int
    stride: int
    train_kernels: bool
    layout: Layout

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        op, trains, layout = self.op, self.train_kernels, self.layout
        hidden = inputs
        if op.expansion > 1:
            width = inputs.shape[layout.channel] * op.expansion
            hidden = Pointwise(trains, width, layout, name="expand")(hidden)
            hidden = BatchNorm(layout, RELU6, name="bn_expand")(hidden, train)
        depthwise = Depthwise(trains, op.kernel, self.stride, layout, name="depthwise")
        hidden = depthwise(hidden)
        hidden = BatchNorm(layout, RELU6, name="bn_depthwise")(hidden, train)
        project = Pointwise(trains, self.out_channels, layout, name="project")
        outputs = BatchNorm(layout, name="bn_project")(project(hidden), train)
        keeps_shape = self.stride == 1 and inputs.shape == outputs.shape
        return outputs + inputs if keeps_shape else outputs


class IdentityIndicator(nn.Module):
    """Identity followed by batch norm: the layer indicator `bn_identity`.

    It exists in the supernet only; the found network drops the layer.
    """

    op: Op
    out_channels: int
    stride: int
    train_kernels: bool
    layout: Layout

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map -> one of the same shape."""
        return BatchNorm(self.layout, name="bn_identity")(inputs, train)


BLOCKS: dict[str, Any] = {
    "identity": IdentityIndicator,
    "inverted_residual": InvertedResidual,
}
# The batch norm whose scale is the score of a candidate, by kind of block.
INDICATOR_BATCH_NORMS = {
    "identity": "bn_identity",
    "inverted_residual": "bn_project",
}
