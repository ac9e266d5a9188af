"""The networks that stand for those of a space: narrower and shallower ones."""

import dataclasses
import functools
from collections.abc import Callable

from difnas_jax.scoring.proxies.inputs import CROP
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.image import ImageSpace

NARROW = 3  # channels of the first stage, as in TE-NAS
SMALL = 8


@functools.singledispatch
def with_width(space: ImageSpace, channels: int) -> ImageSpace:
    """The space with so many channels after its stem, the others in proportion.

    A space of cells has one cell in each stage, a chain keeps its layers and has at
    least two channels everywhere, and fully connected networks stay as they are.
    """
    return space


@with_width.register
def _(space: CellSpace, channels: int) -> CellSpace:
    first = space.channels[0]
    widths = tuple(width * channels // first for width in space.channels)
    layers = tuple(
        dataclasses.replace(layer, in_channels=channels, out_channels=channels)
        for layer in space.layers
    )
    return dataclasses.replace(space, channels=widths, layers=layers, cells=1)


@with_width.register
def _(space: ChainSpace, channels: int) -> ChainSpace:
    def scaled(width: int) -> int:
        """Even, since some blocks split their channels in two halves."""
        return max(2, 2 * round(width * channels / space.stem_channels / 2))

    def of_block(block):
        return dataclasses.replace(
            block,
            in_channels=scaled(block.in_channels),
            out_channels=scaled(block.out_channels),
        )

    return dataclasses.replace(
        space,
        stem_channels=scaled(space.stem_channels),
        fixed=tuple(map(of_block, space.fixed)),
        layers=tuple(map(of_block, space.layers)),
        head_channels=scaled(space.head_channels),
    )


def thin(space: ImageSpace) -> ImageSpace:
    """One channel (of a chain, two) on grey crops; a single cell without a stem.

    As TE-NAS counts linear regions: in a wide network nearly every image has a region
    of its own, and the number tells nothing.
    """
    space = dataclasses.replace(with_width(space, 1), image_size=CROP, image_channels=1)
    if isinstance(space, CellSpace):
        return dataclasses.replace(space, channels=space.channels[:1], stem=False)
    return space


def small(space: ImageSpace) -> ImageSpace:
    """Few channels, and images of half the side if all stages can halve them again."""
    side = space.image_size // 2 if space.image_size % 8 == 0 else space.image_size
    return dataclasses.replace(with_width(space, SMALL), image_size=side)


# Space -> the space whose networks are scored.
REDUCTIONS: dict[str, Callable[[ImageSpace], ImageSpace]] = {
    "small": small,
    "narrow": functools.partial(with_width, channels=NARROW),
    "thin": thin,
}
