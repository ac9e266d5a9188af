"""The blocks of cell networks: ops of an edge, and the reduction between stages."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models.batchnorm import BatchNorm
from difnas_jax.models.kernels import Block, Conv, Pointwise
from difnas_jax.ops.depthwise import depthwise_conv
from difnas_jax.ops.layout import Layout


class ReluConv(Block):
    """Activation, k x k convolution, and batch norm `bn_conv`: the block indicator."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        layout, active = self.layout, self.activation(inputs)
        if self.op.kernel == 1 and self.stride == 1:
            outputs = Pointwise(self.out_channels, layout, name="conv")(active)
        else:
            shape = self.out_channels, self.op.kernel, self.stride
            outputs = Conv(*shape, layout, name="conv")(active)
        return BatchNorm(layout, name="bn_conv")(outputs, train)


class AveragePool(Block):
    """Mean over the k x k neighbours that lie inside the image.

    In the supernet followed by batch norm `bn_pool`, the indicator of an op that has
    none of its own.
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map -> one of the same shape."""
        layout = self.layout
        outputs = average_pool(inputs, self.op.kernel, layout)
        if not self.op.indicator:
            return outputs
        return BatchNorm(layout, name="bn_pool")(outputs, train)


class Zero(Block):
    """The edge is absent: zeros."""

    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map -> zeros of the same shape."""
        return jnp.zeros_like(inputs)


class Reduction(nn.Module):
    """The residual block between two stages: half the side, other channels.

    Two ReLU - conv 3x3 - batch norm, the first with stride 2, beside a 2x2 average pool
    and a 1x1 convolution without batch norm.
    """

    first: Block
    second: Block
    layout: Layout

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of even height and width -> one of half of them."""
        outputs = self.second(self.first(inputs, train), train)
        shortcut = Pointwise(self.first.out_channels, self.layout, name="shortcut")
        return outputs + shortcut(halve(inputs, self.layout))


def average_pool(inputs: Array, side: int, layout: Layout) -> Array:
    """Mean over the `side` x `side` neighbours inside the image, at stride 1."""
    channels = inputs.shape[layout.channel]
    ones = jnp.ones((side, side, 1, channels), inputs.dtype)
    sums: Any = depthwise_conv(inputs, ones, 1, layout)
    height, width = (_neighbours(inputs.shape[axis], side) for axis in layout.spatial)
    counts = height[:, None] * width  # [H, W]
    shape = layout.around(len(height), len(width), 1)
    return sums / jnp.asarray(counts.reshape(shape), inputs.dtype)


def _neighbours(size: int, side: int) -> np.ndarray:
    """int64[size]: how many of the `side` pixels around each one lie inside."""
    pixels = np.arange(size)
    last = np.minimum(pixels + side // 2, size - 1)
    return last - np.maximum(pixels - side // 2, 0) + 1


def halve(inputs: Array, layout: Layout) -> Array:
    """Mean over 2 x 2 pixels at stride 2."""
    starts = slice(0, None, 2), slice(1, None, 2)
    parts = [
        inputs[tuple(layout.around(rows, columns, slice(None)))]
        for rows in starts
        for columns in starts
    ]
    return sum(parts[1:], parts[0]) / 4
