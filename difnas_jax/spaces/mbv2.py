"""MobileNetV2 spaces: kernel {3, 5, 7} x expansion {3, 6}, identity as seventh op.

* `mbv2`: the 21-layer backbone of SPOS and BN-NAS, with identity allowed on its 15
  normal layers. The paper says "20 layers" and does not name its backbone; with
  identity free on the normal layers the reported 4.9 M parameters at 468 M MACs can
  be reached, with the 17 searchable layers of BN-NAS they cannot.
* `bnnas17`: the same with layers 1, 5, 6, 9 fixed to identity and no other identity,
  as in the BN-NAS release.
* `fairnas19`: the 19-layer backbone of FairNAS, without identity.
"""

from __future__ import annotations

import dataclasses

from difnas_jax.spaces.base import IDENTITY, Op
from difnas_jax.spaces.chain import ChainSpace, FixedBlock, stage_layers
from difnas_jax.spaces.image import ImageLayer

OPS = (
    *(
        Op(f"k{kernel}e{expansion}", "inverted_residual", kernel, expansion)
        for kernel in (3, 5, 7)
        for expansion in (3, 6)
    ),
    IDENTITY,
)
SEPARABLE = Op("k3e1", "inverted_residual", 3, 1)

# Backbones: (out channels, stride of the first layer, layers) of each stage.
GPU = ((32, 2, 4), (56, 2, 4), (112, 2, 4), (128, 1, 4), (256, 2, 4), (432, 1, 1))
FAIRNAS = ((32, 2, 2), (40, 2, 4), (80, 2, 4), (96, 1, 4), (192, 2, 4), (320, 1, 1))
BNNAS_IDENTITY_LAYERS = (1, 5, 6, 9)


def choice_layers(
    in_channels: int, stages: tuple[tuple[int, int, int], ...], identity: bool
) -> tuple[ImageLayer, ...]:
    """Lay out stages of (out channels, stride of the first layer, layers).

    Args:
      in_channels: channels before the first layer.
      stages: one row per stage.
      identity: whether normal layers allow identity.
    """
    every_op = tuple(range(len(OPS)))
    normal = every_op if identity else every_op[:-1]
    return stage_layers(in_channels, stages, reducing=every_op[:-1], normal=normal)


def mbv2(image_size: int, image_channels: int, num_classes: int) -> ChainSpace:
    """The default space: 21 layers, identity on the 15 normal ones."""
    return ChainSpace(
        name="mbv2",
        image_size=image_size,
        image_channels=image_channels,
        num_classes=num_classes,
        stem_channels=40,
        stem_stride=2,
        fixed=(FixedBlock(40, 24, 1, SEPARABLE),),
        ops=OPS,
        layers=choice_layers(24, GPU, identity=True),
        head_channels=1728,
    )


def bnnas17(image_size: int, image_channels: int, num_classes: int) -> ChainSpace:
    """`mbv2` as the BN-NAS release searches it: 17 free layers, 4 fixed to identity."""
    space = mbv2(image_size, image_channels, num_classes)
    layers = tuple(
        dataclasses.replace(layer, ops=(space.num_ops - 1,))
        if index in BNNAS_IDENTITY_LAYERS
        else layer
        for index, layer in enumerate(space.without_identity().layers)
    )
    return dataclasses.replace(space, name="bnnas17", layers=layers)


def fairnas19(image_size: int, image_channels: int, num_classes: int) -> ChainSpace:
    """The backbone of FairNAS: 19 layers, no identity."""
    return ChainSpace(
        name="fairnas19",
        image_size=image_size,
        image_channels=image_channels,
        num_classes=num_classes,
        stem_channels=32,
        stem_stride=2,
        fixed=(FixedBlock(32, 16, 1, SEPARABLE),),
        ops=OPS,
        layers=choice_layers(16, FAIRNAS, identity=False),
        head_channels=1280,
    )
