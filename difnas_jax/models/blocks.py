"""The blocks of the networks, with batch norms named by role.

Kernels live in the collection `frozen`, or in `params` where the method trains them;
`train_kernels` is the one switch. Initial values here are zeros: `initializers` fills
the leaves from their names, so names are part of the contract:
`stem`, `expand`, `depthwise`, `project`, `head`, `classifier`.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.models.batchnorm import BatchNorm
from difnas_jax.models.depthwise import depthwise_conv
from difnas_jax.spaces.base import Op


def relu6(inputs: Array) -> Array:
    """min(max(x, 0), 6)."""
    return jnp.clip(inputs, 0.0, 6.0)


class Kernel(nn.Module):
    """A module whose weights are frozen or trained."""

    train_kernels: bool

    def weight(self, name: str, shape: tuple[int, ...]) -> Array:
        """The leaf `name` of `params` or `frozen`."""
        if self.train_kernels:
            return self.param(name, nn.initializers.zeros, shape)
        return self.variable("frozen", name, jnp.zeros, shape).value


class Conv(Kernel):
    """Dense k x k convolution with padding k // 2 and without bias.

    `frozen/kernel` or `params/kernel`: [k, k, C_in, C_out].
    """

    features: int
    kernel: int
    stride: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """[B, H, W, C_in] -> [B, H', W', C_out]."""
        side, pad = self.kernel, self.kernel // 2
        shape = (side, side, inputs.shape[-1], self.features)
        return jax.lax.conv_general_dilated(
            inputs,
            self.weight("kernel", shape),
            window_strides=(self.stride, self.stride),
            padding=((pad, pad), (pad, pad)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )


class Pointwise(Kernel):
    """1x1 convolution as a matrix product; with `use_bias`, a linear layer.

    `frozen/kernel` or `params/kernel`: [C_in, C_out].
    """

    features: int
    use_bias: bool = False

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """[..., C_in] -> [..., C_out]."""
        kernel = self.weight("kernel", (inputs.shape[-1], self.features))
        flat = inputs.reshape(-1, inputs.shape[-1])  # [..., C] -> [N, C]
        outputs = (flat @ kernel).reshape(*inputs.shape[:-1], self.features)
        if self.use_bias:
            outputs = outputs + self.weight("bias", (self.features,))
        return outputs


class Depthwise(Kernel):
    """Depthwise k x k convolution.

    `frozen/kernel` or `params/kernel`: [k, k, 1, C].
    """

    kernel: int
    stride: int

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """[B, H, W, C] -> [B, H', W', C]."""
        shape = (self.kernel, self.kernel, 1, inputs.shape[-1])
        return depthwise_conv(inputs, self.weight("kernel", shape), self.stride)


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

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[B, H, W, C_in] -> [B, H', W', C_out]."""
        op, trains = self.op, self.train_kernels
        hidden = inputs
        if op.expansion > 1:
            width = inputs.shape[-1] * op.expansion
            hidden = Pointwise(trains, width, name="expand")(hidden)
            hidden = relu6(BatchNorm(name="bn_expand")(hidden, train))
        depthwise = Depthwise(trains, op.kernel, self.stride, name="depthwise")
        hidden = relu6(BatchNorm(name="bn_depthwise")(depthwise(hidden), train))
        project = Pointwise(trains, self.out_channels, name="project")
        outputs = BatchNorm(name="bn_project")(project(hidden), train)
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

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """[B, H, W, C] -> [B, H, W, C]."""
        return BatchNorm(name="bn_identity")(inputs, train)


BLOCKS: dict[str, Any] = {
    "identity": IdentityIndicator,
    "inverted_residual": InvertedResidual,
}
# The batch norm whose scale is the score of a candidate, by kind of block.
INDICATOR_BATCH_NORMS = {
    "identity": "bn_identity",
    "inverted_residual": "bn_project",
}
