"""All blocks by kind of op, with modules named by role.

The names are what other files go by. A batch norm is called `bn_` and its role; where
its name is in `INDICATOR_BATCH_NORMS` its scale scores the candidate, as the last batch
norm of a block or as one that only the supernet has. The name of a module with a kernel
selects the initial values (`initializers.GAINS`).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models import codes, modules
from difnas_jax.models.modules import Block, normed
from difnas_jax.ops.convolutions import depthwise_conv
from difnas_jax.ops.layout import Layout


class InvertedResidual(Block):
    """MobileNetV2 block: expand, depthwise, project, each with its batch norm.

    `bn_project` is the block indicator (the last batch norm, no activation after it).
    With expansion 1 there is no expanding convolution. Adds its input where the shape
    is kept, unless the op says otherwise.
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        op, layout = self.op, self.layout
        hidden = inputs
        if op.expansion > 1:
            width = inputs.shape[layout.channel] * op.expansion
            expand = modules.Pointwise(width, layout, name="expand")
            hidden = normed(expand, hidden, train, self.activation)
        depthwise = modules.Depthwise(op.kernel, self.stride, layout, name="depthwise")
        hidden = normed(depthwise, hidden, train, self.activation)
        project = modules.Pointwise(self.out_channels, layout, name="project")
        outputs = normed(project, hidden, train)
        return outputs + inputs if op.skip and self.keeps_shape(inputs) else outputs


class Identity(Block):
    """Identity, in the supernet followed by batch norm: the layer indicator.

    The indicator `bn_identity` exists in the supernet only. Where the shape changes,
    identity is a strided 1x1 convolution with batch norm, a block like any other.
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        layout, shape = self.layout, (self.out_channels, 1, self.stride)
        if not self.keeps_shape(inputs):
            return normed(modules.Conv(*shape, layout, name="project"), inputs, train)
        if not self.op.indicator:
            return inputs
        return modules.BatchNorm(layout, name="bn_identity")(inputs, train)


class ReluConv(Block):
    """Activation, k x k convolution, and batch norm `bn_conv`: the block indicator."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        layout, active = self.layout, self.activation(inputs)
        codes.record(self, active, layout)
        if self.op.kernel == 1 and self.stride == 1:
            conv = modules.Pointwise(self.out_channels, layout, name="conv")
        else:
            shape = self.out_channels, self.op.kernel, self.stride
            conv = modules.Conv(*shape, layout, name="conv")
        return normed(conv, active, train)


class AveragePool(Block):
    """Mean over the k x k neighbours that lie inside the image.

    In the supernet followed by batch norm `bn_pool`, the indicator of an op that has
    none of its own.
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map -> one of the same shape."""
        outputs = average_pool(inputs, self.op.kernel, self.layout)
        if not self.op.indicator:
            return outputs
        return modules.BatchNorm(self.layout, name="bn_pool")(outputs, train)


class Zero(Block):
    """The edge is absent: zeros."""

    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map -> zeros of the same shape."""
        return jnp.zeros_like(inputs)


class Dense(Block):
    """A fully connected layer in the NTK parametrisation, its activation, and a skip.

    The factor 1 / sqrt(C_in) stands outside of the weights, which are of order 1.
    Where the collection `offsets` has `pre_activation`, it is added in front of the
    activation: the gradient by an offset of 0 is the cotangent there.
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of one pixel and C_in channels -> one of C_out channels."""
        scale = inputs.shape[self.layout.channel] ** -0.5
        dense = modules.Pointwise(self.out_channels, self.layout, name="dense")
        hidden = dense(scale * inputs)
        if self.has_variable("offsets", "pre_activation"):
            hidden += self.get_variable("offsets", "pre_activation")
        activation = self.activation or modules.ACTIVATIONS[self.op.activation]
        outputs = activation(hidden)
        codes.record(self, outputs, self.layout)
        return outputs + inputs if self.op.skip else outputs


class Separable(Block):
    """Depthwise k x k and batch norm, then 1x1, batch norm and activation.

    Attributes:
      role: name of the 1x1 convolution and, behind `bn_`, of its batch norm.
    """

    role: str = "mix"

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        kernel, layout = self.op.kernel, self.layout
        spatial = modules.Depthwise(kernel, self.stride, layout, name="spatial")
        mix = modules.Pointwise(self.out_channels, layout, name=self.role)
        return normed(mix, normed(spatial, inputs, train), train, self.activation)


class ShuffleBlock(Block):
    """ShuffleNetV2 block of SPOS: 1x1, depthwise, 1x1, beside unchanged channels.

    Where the shape is kept, the even channels pass untouched and the odd ones through
    the main branch; elsewhere all channels go through both branches. The outputs of the
    two are concatenated, and the next block takes every second channel.
    `bn_output`, the last of the main branch, is the block indicator; the activation
    comes after it.
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        channel, branch = self.layout.channel, inputs
        if self.keeps_shape(inputs):
            beside, branch = split_channels(inputs, self.layout)
        else:
            project = self.separable(inputs.shape[channel], self.stride, "projection")
            beside = project(inputs, train)
        outputs = self.main(branch, self.out_channels - beside.shape[channel], train)
        return jnp.concatenate([beside, outputs], channel)

    def main(self, inputs: Array, features: int, train: bool) -> Array:
        """The main branch."""
        hidden = self.out_channels // 2
        expand = modules.Pointwise(hidden, self.layout, name="expand")
        hidden = normed(expand, inputs, train, self.activation)
        return self.separable(features, self.stride, "last", "output")(hidden, train)

    def separable(
        self, features: int, stride: int, name: str, role: str = "mix"
    ) -> Separable:
        """A part of the block, with its kernel size."""
        shape = features, stride, self.layout
        return Separable(self.op, *shape, self.activation, role, name=name)


class XceptionBlock(ShuffleBlock):
    """The same with three separable convolutions in the main branch."""

    def main(self, inputs: Array, features: int, train: bool) -> Array:
        """The main branch."""
        hidden = self.out_channels // 2
        first = self.separable(hidden, self.stride, "first")(inputs, train)
        second = self.separable(hidden, 1, "second")(first, train)
        return self.separable(features, 1, "last", "output")(second, train)


BLOCKS: dict[str, type[Block]] = {
    "avg_pool": AveragePool,
    "dense": Dense,
    "identity": Identity,
    "inverted_residual": InvertedResidual,
    "relu_conv": ReluConv,
    "shuffle": ShuffleBlock,
    "xception": XceptionBlock,
    "zero": Zero,
}
# The batch norms whose scales are scores. Every op has exactly one, except `zero` and
# fully connected layers, and identity and pooling where their layer has no other op.
INDICATOR_BATCH_NORMS = frozenset(
    {"bn_conv", "bn_identity", "bn_output", "bn_pool", "bn_project"}
)


def average_pool(inputs: Array, side: int, layout: Layout) -> Array:
    """Mean over the `side` x `side` neighbours inside the image, at stride 1."""
    channels = inputs.shape[layout.channel]
    ones = jnp.ones((side, side, 1, channels), inputs.dtype)
    sums: Any = depthwise_conv(inputs, ones, 1, layout, frozen=True)
    height, width = (_neighbours(inputs.shape[axis], side) for axis in layout.spatial)
    counts = height[:, None] * width  # [H, W]
    shape = layout.around(len(height), len(width), 1)
    return sums / jnp.asarray(counts.reshape(shape), inputs.dtype)


def _neighbours(size: int, side: int) -> np.ndarray:
    """int64[size]: how many of the `side` pixels around each one lie inside."""
    pixels = np.arange(size)
    last = np.minimum(pixels + side // 2, size - 1)
    return last - np.maximum(pixels - side // 2, 0) + 1


def split_channels(inputs: Array, layout: Layout) -> tuple[Array, Array]:
    """The even and the odd channels: the shuffle and the split of ShuffleNetV2."""
    even, odd = (
        jax.lax.slice_in_dim(inputs, start, None, 2, layout.channel) for start in (0, 1)
    )
    return even, odd
