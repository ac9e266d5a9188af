"""A small space for small images: seven layers, the seven ops of `mbv2`.

This space is ours, not from a paper. It is the smallest network of the same kind that
has all that `mbv2` has (reduction by stride, reduction by channels, normal layers with
identity), so that the whole pipeline runs on a laptop in minutes.
"""

from __future__ import annotations

from difnas_jax.spaces.chain import ChainSpace, FixedBlock
from difnas_jax.spaces.mbv2 import OPS, SEPARABLE, choice_layers

STAGES = ((24, 2, 3), (40, 2, 3), (64, 1, 1))


def digits(image_size: int, image_channels: int, num_classes: int) -> ChainSpace:
    """Seven layers with widths 24, 40 and 64; made for images of 16 pixels."""
    return ChainSpace(
        name="digits",
        image_size=image_size,
        image_channels=image_channels,
        num_classes=num_classes,
        stem_channels=16,
        stem_stride=1,
        fixed=(FixedBlock(16, 16, 1, SEPARABLE),),
        ops=OPS,
        layers=choice_layers(16, STAGES, identity=True),
        head_channels=128,
    )
