"""The space of NAS-Bench-Macro: 8 layers, 3 ops, 6561 names of 3969 networks.

The op indices are the digits of the benchmark's strings. Identity is allowed in every
layer; where a layer changes the shape it is a 1x1 convolution with batch norm.
"""

from __future__ import annotations

from difnas_jax.spaces.base import IDENTITY, Op
from difnas_jax.spaces.chain import ChainSpace, stage_layers

OPS = (
    IDENTITY,
    Op("k3e3", "inverted_residual", 3, 3),
    Op("k5e6", "inverted_residual", 5, 6),
)
# (out channels, stride of the first layer, layers)
STAGES = ((64, 2, 2), (128, 2, 3), (256, 2, 3))


def nas_bench_macro(
    image_size: int, image_channels: int, num_classes: int
) -> ChainSpace:
    """8 layers on a stem of 32 channels at full size; made for images of 32 pixels."""
    return ChainSpace(
        name="nas_bench_macro",
        image_size=image_size,
        image_channels=image_channels,
        num_classes=num_classes,
        stem_channels=32,
        stem_stride=1,
        fixed=(),
        ops=OPS,
        layers=stage_layers(32, STAGES, reducing=(0, 1, 2), normal=(0, 1, 2)),
        head_channels=1280,
        activation="relu",
    )
