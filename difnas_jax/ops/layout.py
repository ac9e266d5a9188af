"""The order of the dimensions of a feature map, the same for a whole network.

On GPU and TPU, channels last is what convolutions want, and XLA moves dimensions about
where it finds better. On the CPU, XLA keeps the order it is given, and channels first
with the batch last is faster throughout: a depthwise tap is one number times a long
contiguous row, batch norm reduces contiguous rows, and a 1x1 convolution is one large
matrix product.
"""

import dataclasses
from typing import TypeVar

import jax
from jax import Array

Each = TypeVar("Each")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where batch, height, width and channels are.

    Attributes:
      dims: the letters B, H, W, C in the order of the dimensions.
    """

    dims: str

    @property
    def channel(self) -> int:
        """The dimension of the channels."""
        return self.dims.index("C")

    @property
    def spatial(self) -> tuple[int, int]:
        """The dimensions of height and width."""
        return self.dims.index("H"), self.dims.index("W")

    @property
    def others(self) -> tuple[int, ...]:
        """All dimensions but that of the channels."""
        return tuple(axis for axis in range(len(self.dims)) if axis != self.channel)

    def along_channels(self, vector: Array) -> Array:
        """[C] -> a shape that broadcasts against a feature map."""
        return jax.lax.expand_dims(vector, self.others)

    def around(self, height: Each, width: Each, rest: Each) -> list[Each]:
        """One value for each dimension, such as a padding or a slice."""
        return [{"H": height, "W": width}.get(letter, rest) for letter in self.dims]

    def arrange(self, images: Array) -> Array:
        """[B, H, W, C] -> this layout."""
        return images.transpose(["BHWC".index(letter) for letter in self.dims])

    def channels_last(self, feature_map: Array) -> Array:
        """This layout -> [B, H, W, C]."""
        return feature_map.transpose([self.dims.index(letter) for letter in "BHWC"])


CHANNELS_LAST = Layout("BHWC")
BATCH_LAST = Layout("CHWB")


def fastest() -> Layout:
    """The layout for the devices of this process: batch last on a single CPU device.

    Matrix products merge height, width and batch, which a batch that is split over
    devices survives only as the first dimension.
    """
    alone = jax.default_backend() == "cpu" and jax.device_count() == 1
    return BATCH_LAST if alone else CHANNELS_LAST
