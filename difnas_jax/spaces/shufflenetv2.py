"""The ShuffleNetV2 space of SPOS: 20 layers, kernel 3, 5, 7 or an Xception block.

Differs from SPOS: every batch norm has scale and bias in the supernet too, since the
scales are what scores; and the 16 layers of stride 1 allow identity as a fifth op, as
`mbv2` does.
"""

from typing import Unpack

from difnas_jax.spaces.base import IDENTITY, Op
from difnas_jax.spaces.chain import ChainSpace, stage_layers
from difnas_jax.spaces.image import Images

OPS = (
    *(Op(f"k{kernel}", "shuffle", kernel) for kernel in (3, 5, 7)),
    Op("xception", "xception", 3),
    IDENTITY,
)
# (out channels, stride of the first layer, layers)
STAGES = ((64, 2, 4), (160, 2, 4), (320, 2, 8), (640, 2, 4))


def shufflenetv2(**images: Unpack[Images]) -> ChainSpace:
    """20 layers, identity on the 16 normal ones; plain ReLU, no classifier bias."""
    return ChainSpace(
        name="shufflenetv2",
        **images,
        stem_channels=16,
        stem_stride=2,
        fixed=(),
        ops=OPS,
        layers=stage_layers(16, STAGES, reducing=4, normal=5),
        head_channels=1024,
        activation="relu",
        classifier_bias=False,
    )
