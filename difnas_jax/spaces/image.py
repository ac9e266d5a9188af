"""What spaces of networks for images have in common."""

import dataclasses
from typing import TypedDict

from difnas_jax.spaces.base import Layer, SearchSpace


class Images(TypedDict):
    """What a space is built for.

    Attributes:
      image_size: side of the square input images in pixels.
      image_channels: 1 for grey, 3 for colour.
      num_classes: outputs of the classifier.
    """

    image_size: int
    image_channels: int
    num_classes: int


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a block does to the shape of its feature maps.

    Attributes:
      in_channels, out_channels: channels before and after.
      stride: 1 or 2.
    """

    in_channels: int
    out_channels: int
    stride: int

    @property
    def is_normal(self) -> bool:
        """Whether the layer keeps its shape, so that an identity can replace it."""
        return self.stride == 1 and self.in_channels == self.out_channels


@dataclasses.dataclass(frozen=True)
class ImageLayer(Shape, Layer):
    """One searchable layer of an image network."""


@dataclasses.dataclass(frozen=True)
class ImageSpace(SearchSpace):
    """A space whose networks classify square images.

    Attributes:
      image_size, image_channels: input images are [image_size, image_size,
        image_channels].
      classifier_bias: whether the classifier has a bias.
      activation: of all blocks whose ops name none; a key of
        `models.modules.ACTIVATIONS`. A field where a space may choose it.
    """

    layers: tuple[ImageLayer, ...]
    image_size: int
    image_channels: int
    classifier_bias: bool = dataclasses.field(default=True, kw_only=True)
    activation = "relu"

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Side in pixels of the input of each layer, and of the output of the last."""
        raise NotImplementedError


def strided(size: int, stride: int) -> int:
    """Output side of a convolution with an odd kernel k and padding k // 2."""
    return (size - 1) // stride + 1
