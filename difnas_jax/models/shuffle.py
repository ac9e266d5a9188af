"""The blocks of ShuffleNetV2 as SPOS searches them."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.models.batchnorm import BatchNorm
from difnas_jax.models.kernels import Block, Depthwise, Pointwise
from difnas_jax.ops.layout import Layout
from difnas_jax.ops.normalization import Activation


class Separable(nn.Module):
    """Depthwise k x k and batch norm, then 1x1, batch norm and activation.

    Attributes:
      features: C_out.
      kernel, stride: of the depthwise convolution.
      layout: of the feature maps.
      activation: behind the 1x1 convolution.
      role: name of the 1x1 convolution and, behind `bn_`, of its batch norm.
    """

    features: int
    kernel: int
    stride: int
    layout: Layout
    activation: Activation
    role: str = "mix"

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of C_in channels -> one of C_out channels."""
        layout, role = self.layout, self.role
        spatial = Depthwise(self.kernel, self.stride, layout, name="spatial")
        hidden = BatchNorm(layout, name="bn_spatial")(spatial(inputs), train)
        mix = Pointwise(self.features, layout, name=role)
        return BatchNorm(layout, self.activation, name=f"bn_{role}")(mix(hidden), train)


class ShuffleBlock(Block):
    """1x1, depthwise k x k, 1x1, beside channels that pass unchanged.

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
        expand = Pointwise(hidden, self.layout, name="expand")
        normalize = BatchNorm(self.layout, self.activation, name="bn_expand")
        hidden = normalize(expand(inputs), train)
        return self.separable(features, self.stride, "last", "output")(hidden, train)

    def separable(
        self, features: int, stride: int, name: str, role: str = "mix"
    ) -> Separable:
        """A part of the block, with its kernel size."""
        return Separable(
            features=features,
            kernel=self.op.kernel,
            stride=stride,
            layout=self.layout,
            activation=self.activation,
            role=role,
            name=name,
        )


class XceptionBlock(ShuffleBlock):
    """The same with three separable convolutions in the main branch."""

    def main(self, inputs: Array, features: int, train: bool) -> Array:
        """The main branch."""
        hidden = self.out_channels // 2
        first = self.separable(hidden, self.stride, "first")(inputs, train)
        second = self.separable(hidden, 1, "second")(first, train)
        return self.separable(features, 1, "last", "output")(second, train)


def split_channels(inputs: Array, layout: Layout) -> tuple[Array, Array]:
    """The even and the odd channels: the shuffle and the split of ShuffleNetV2."""
    even, odd = (
        jax.lax.slice_in_dim(inputs, start, None, 2, layout.channel) for start in (0, 1)
    )
    return even, odd
