"""Depthwise convolutions as matrix products, one for each channel, batch last.

The outputs [H' W', B] of a channel are a band matrix [H' W', H W] times its inputs
[H W, B]. The zeros of the matrix are multiplied too, which pays where the map is
smaller than the kernel. The gradient of the kernel is the product [H' W', B] x [B, H W]
summed along the band, tile by tile where the map is large; how it compares with k * k
reductions is in `docs/speed.md`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.ops.layout import Layout

# Side of the tiles in which the gradient of a kernel is taken.
TILE = 8


def pays(shape: tuple[int, ...], side: int, layout: Layout) -> bool:
    """Whether the band is cheaper than the taps: the map is smaller than the kernel."""
    height, width = (shape[axis] for axis in layout.spatial)
    return layout.channel == 0 and height * width < side**2


def convolve(images: Array, kernel: Array, stride: int) -> Array:
    """Convolve [C, H, W, B] with a kernel [k, k, 1, C]."""
    return _products(_bands("copij", images.shape, kernel, stride), images)


def images_gradient(
    shape: tuple[int, ...], kernel: Array, cotangent: Array, stride: int
) -> Array:
    """The gradient of images [C, H, W, B] from a cotangent [C, H', W', B]."""
    return _products(_bands("cijop", shape, kernel, stride), cotangent)


def _bands(order: str, shape: tuple[int, ...], kernel: Array, stride: int) -> Array:
    """[k, k, 1, C] -> the band matrices, for images of a shape [C, H, W, B].

    Args:
      order: of the dimensions: c for C, o and p for H' and W', i and j for H and W.
      shape: of the images.
      kernel: [k, k, 1, C].
      stride: 1 or 2.
    """
    rows, columns = (_band(size, kernel.shape[0], stride) for size in shape[1:3])
    constants = _constants(rows, columns, kernel)
    return jnp.einsum(f"rsc,oir,pjs->{order}", kernel[:, :, 0], *constants)


def _band(size: int, side: int, stride: int) -> np.ndarray:
    """bool[size', size, k]: the tap through which an output sees an input."""
    outputs, inputs = np.arange(0, size, stride)[:, None], np.arange(size)
    taps = inputs - outputs + side // 2
    return taps[..., None] == np.arange(side)


def _constants(rows: np.ndarray, columns: np.ndarray, like: Array) -> list[Array]:
    return [jnp.asarray(band, like.dtype) for band in (rows, columns)]


def _products(bands: Array, images: Array) -> Array:
    """[C, H', W', H, W] times [C, H, W, B] -> [C, H', W', B]."""
    channels, *outputs = bands.shape[:3]
    positions = images.shape[1] * images.shape[2]
    product = jnp.einsum(
        "coi,cib->cob",
        bands.reshape(channels, -1, positions),
        images.reshape(channels, positions, -1),
    )
    return product.reshape(channels, *outputs, -1)


class _Tiling(NamedTuple):
    """How one spatial dimension of a convolution is cut into equal tiles.

    Attributes:
      band: bool[T, S, k], the tap through which output t of a tile sees its input s.
      starts: first input of each tile.
      inputs: zeros before and after the inputs.
      outputs: zeros after the outputs.
    """

    band: np.ndarray
    starts: tuple[int, ...]
    inputs: tuple[int, int]
    outputs: int

    @classmethod
    def of(cls, size: int, side: int, stride: int) -> _Tiling:
        """One tile without edges for a small map, else tiles that overlap."""
        outputs = -(-size // stride)
        if outputs <= TILE:
            return cls(_band(size, side, stride), (0,), (0, 0), 0)
        count, reach = -(-outputs // TILE), (TILE - 1) * stride + side
        last = (count - 1) * TILE * stride + reach
        taps = np.arange(reach) - np.arange(0, TILE * stride, stride)[:, None]
        return cls(
            taps[..., None] == np.arange(side),
            tuple(range(0, count * TILE * stride, TILE * stride)),
            (side // 2, last - size - side // 2),
            count * TILE - outputs,
        )


def kernel_gradient(images: Array, side: int, cotangent: Array, stride: int) -> Array:
    """The gradient of [k, k, 1, C]: one matrix product for each channel.

    Args:
      images: [C, H, W, B].
      side: k.
      cotangent: [C, H', W', B].
      stride: 1 or 2.
    """
    rows, columns = (_Tiling.of(size, side, stride) for size in images.shape[1:3])
    edges = [(0, 0, 0), (*rows.inputs, 0), (*columns.inputs, 0), (0, 0, 0)]
    padded = jax.lax.pad(images, jnp.zeros((), images.dtype), edges)
    beyond = ((0, 0), (0, rows.outputs), (0, columns.outputs), (0, 0))
    inputs = _input_tiles(padded, rows, columns)
    outputs = _output_tiles(jnp.pad(cotangent, beyond), rows, columns)
    products = jnp.einsum(
        "con,cin->coi", outputs, inputs, preferred_element_type=jnp.float32
    )
    tiles = [*rows.band.shape[:2], *columns.band.shape[:2]]
    products = products.reshape(-1, tiles[0], tiles[2], tiles[1], tiles[3])
    gradient = jnp.einsum(
        "copij,oir,pjs->rsc", products, *_constants(rows.band, columns.band, products)
    )
    return gradient[:, :, None].astype(images.dtype)


def _input_tiles(images: Array, rows: _Tiling, columns: _Tiling) -> Array:
    """[C, H, W, B] -> [C, positions of a tile, tiles and B]; the tiles overlap."""
    height, width = rows.band.shape[1], columns.band.shape[1]
    tiles = [
        images[:, row : row + height, column : column + width]
        for row in rows.starts
        for column in columns.starts
    ]
    return jnp.stack(tiles, 3).reshape(images.shape[0], height * width, -1)


def _output_tiles(cotangent: Array, rows: _Tiling, columns: _Tiling) -> Array:
    """[C, H', W', B] -> [C, positions of a tile, tiles and B]."""
    height, width = len(rows.band), len(columns.band)
    tiles = len(rows.starts), height, len(columns.starts), width
    parts = cotangent.reshape(len(cotangent), *tiles, cotangent.shape[-1])
    together = parts.transpose(0, 2, 4, 1, 3, 5)
    return together.reshape(len(cotangent), height * width, -1)
