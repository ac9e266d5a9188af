"""The space of NAS-Bench-201 (NATS-Bench, topology): 6 edges, 5 ops, 15,625 cells.

Op names and architecture strings are the official ones. The paper of DI-NAS has no
cells, so the indicators are ours: a convolution is scored by its own batch norm, and
`skip_connect` and `avg_pool_3x3` by one that only the supernet adds after them, like
the identity of other spaces. `none` has no indicator, since its output is zero and has
no scale: a search by the BN indicator never picks it.
"""

from typing import Unpack

from difnas_jax.errors import InputError
from difnas_jax.spaces.base import Op
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.image import ImageLayer, Images

OPS = (
    Op("none", "zero"),
    Op("skip_connect", "identity"),
    Op("nor_conv_1x1", "relu_conv", 1),
    Op("nor_conv_3x3", "relu_conv", 3),
    Op("avg_pool_3x3", "avg_pool", 3),
)
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
CHANNELS = (16, 32, 64)


def nas_bench_201(**images: Unpack[Images]) -> CellSpace:
    """Three stages of five cells; made for images of 32 pixels.

    Raises:
      InputError: an image that does not halve evenly from stage to stage.
    """
    halves, size = 2 ** (len(CHANNELS) - 1), images["image_size"]
    if size % halves:
        raise InputError(
            f"space.image_size: expected a multiple of {halves} for 'nas_bench_201', "
            f"got {size}; data are resized to it"
        )
    layer = ImageLayer(CHANNELS[0], CHANNELS[0], stride=1, ops=tuple(range(len(OPS))))
    return CellSpace(
        name="nas_bench_201",
        **images,
        ops=OPS,
        layers=(layer,) * len(EDGES),
        channels=CHANNELS,
        cells=5,
        edges=EDGES,
    )
