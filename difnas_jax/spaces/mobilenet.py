"""Spaces of MobileNetV2 blocks: of papers, of NAS-Bench-Macro and one of our own.

* `mbv2`: the 21-layer backbone of SPOS and BN-NAS with kernel {3, 5, 7} x expansion
  {3, 6}, and identity as seventh op, allowed on its 15 normal layers. The paper says
  "20 layers" and does not name its backbone; with identity free on the normal layers
  the reported 4.9 M parameters at 468 M MACs can be reached, with the 17 searchable
  layers of BN-NAS they cannot.
* `bnnas17`: the same with layers 1, 5, 6, 9 fixed to identity and no other identity,
  as in the BN-NAS release.
* `fairnas19`: the 19-layer backbone of FairNAS, without identity.
* `digits`: ours, not from a paper. It is the smallest network of the same kind that
  has all that `mbv2` has (reduction by stride, reduction by channels, normal layers
  with identity), so that the whole pipeline runs on a laptop in minutes.
* `nas_bench_macro`: 8 layers, 3 ops, 6561 names of 3969 networks. The op indices are
  the digits of the benchmark's strings. Identity is allowed in every layer; where a
  layer changes the shape it is a 1x1 convolution with batch norm.
"""

import dataclasses
from typing import Unpack

from difnas_jax.spaces.base import IDENTITY, Op
from difnas_jax.spaces.chain import ChainSpace, FixedBlock, stage_layers
from difnas_jax.spaces.image import Images


def block(kernel: int, expansion: int) -> Op:
    """An inverted residual block."""
    return Op(f"k{kernel}e{expansion}", "inverted_residual", kernel, expansion)


OPS = (
    *(block(kernel, expansion) for kernel in (3, 5, 7) for expansion in (3, 6)),
    IDENTITY,
)
MACRO_OPS = (IDENTITY, block(3, 3), block(5, 6))
SEPARABLE = block(3, 1)

# Backbones: (out channels, stride of the first layer, layers) of each stage.
GPU = ((32, 2, 4), (56, 2, 4), (112, 2, 4), (128, 1, 4), (256, 2, 4), (432, 1, 1))
FAIRNAS = ((32, 2, 2), (40, 2, 4), (80, 2, 4), (96, 1, 4), (192, 2, 4), (320, 1, 1))
DIGITS = ((24, 2, 3), (40, 2, 3), (64, 1, 1))
MACRO = ((64, 2, 2), (128, 2, 3), (256, 2, 3))
BNNAS_IDENTITY_LAYERS = (1, 5, 6, 9)


def mbv2(**images: Unpack[Images]) -> ChainSpace:
    """The default space: 21 layers, identity on the 15 normal ones."""
    return ChainSpace(
        name="mbv2",
        **images,
        stem_channels=40,
        stem_stride=2,
        fixed=(FixedBlock(40, 24, 1, SEPARABLE),),
        ops=OPS,
        layers=stage_layers(24, GPU, reducing=6, normal=7),
        head_channels=1728,
    )


def bnnas17(**images: Unpack[Images]) -> ChainSpace:
    """`mbv2` as the BN-NAS release searches it: 17 free layers, 4 fixed to identity."""
    space = mbv2(**images)
    layers = list(space.without_identity().layers)
    for index in BNNAS_IDENTITY_LAYERS:
        layers[index] = dataclasses.replace(layers[index], ops=(OPS.index(IDENTITY),))
    return dataclasses.replace(space, name="bnnas17", layers=tuple(layers))


def fairnas19(**images: Unpack[Images]) -> ChainSpace:
    """The backbone of FairNAS: 19 layers, no identity."""
    return ChainSpace(
        name="fairnas19",
        **images,
        stem_channels=32,
        stem_stride=2,
        fixed=(FixedBlock(32, 16, 1, SEPARABLE),),
        ops=OPS,
        layers=stage_layers(16, FAIRNAS, reducing=6, normal=6),
        head_channels=1280,
    )


def digits(**images: Unpack[Images]) -> ChainSpace:
    """Seven layers with widths 24, 40 and 64; made for images of 16 pixels."""
    return ChainSpace(
        name="digits",
        **images,
        stem_channels=16,
        stem_stride=1,
        fixed=(FixedBlock(16, 16, 1, SEPARABLE),),
        ops=OPS,
        layers=stage_layers(16, DIGITS, reducing=6, normal=7),
        head_channels=128,
    )


def nas_bench_macro(**images: Unpack[Images]) -> ChainSpace:
    """8 layers on a stem of 32 channels at full size; made for images of 32 pixels."""
    return ChainSpace(
        name="nas_bench_macro",
        **images,
        stem_channels=32,
        stem_stride=1,
        fixed=(),
        ops=MACRO_OPS,
        layers=stage_layers(32, MACRO, reducing=3, normal=3),
        head_channels=1280,
        activation="relu",
    )
