"""Depthwise convolutions as sums of shifted images, the form of the CPU."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.ops.layout import Layout

# Rows of the cotangent that one sum of the gradient of a kernel takes. From sixteen
# uses on, XLA keeps what it shifts in memory instead of computing it for each of them.
ROWS = 16


def convolve(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """Convolve a feature map with a kernel [k, k, 1, C]."""
    padded = padded_by(images, kernel.shape[0] // 2, layout)
    return _correlate(padded, kernel, stride, layout)


def padded_by(images: Array, pad: int, layout: Layout) -> Array:
    """The images with so many zeros around height and width, in memory of their own."""
    return _pad_edges(images, (pad, pad), (pad, pad), layout)


def _pad_edges(
    images: Array, rows: tuple[int, int], columns: tuple[int, int], layout: Layout
) -> Array:
    edges = layout.around((*rows, 0), (*columns, 0), (0, 0, 0))
    padded = jax.lax.pad(images, jnp.zeros((), images.dtype), edges)
    # The taps read memory: without the barrier what made the images is computed again
    # for the taps that meet no edge.
    return jax.lax.optimization_barrier(padded)


def taps(
    padded: Array, sides: tuple[int, ...], stride: int, layout: Layout
) -> Iterator[list[Array]]:
    """For each row of a kernel, the input that each of its taps sees."""
    height, width = (
        (padded.shape[axis] - side) // stride
        for axis, side in zip(layout.spatial, sides, strict=True)
    )
    for row in range(sides[0]):
        rows = slice(row, row + height * stride + 1, stride)
        columns = [
            slice(column, column + width * stride + 1, stride)
            for column in range(sides[1])
        ]
        yield [padded[tuple(layout.around(rows, c, slice(None)))] for c in columns]


def _correlate(padded: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """Sums of rows first: in one long sum each addition waits for the one before."""
    rows = taps(padded, kernel.shape[:2], stride, layout)
    return _sum(
        _sum(
            tap * layout.along_channels(weight)
            for tap, weight in zip(row, weights[:, 0], strict=True)
        )
        for row, weights in zip(rows, kernel, strict=True)
    )


def _sum(arrays: Iterable[Array]) -> Array:
    return functools.reduce(jnp.add, arrays)


def images_gradient(
    shape: tuple[int, ...], kernel: Array, cotangent: Array, stride: int, layout: Layout
) -> Array:
    """The gradient of images of this shape.

    At stride 2, pixels of even and of odd rows and columns see different taps. Each of
    the four kinds is a convolution of its own, without the zeros of a dilated
    cotangent. Plain autodiff scatters once per tap, which is slow from k = 5 on.

    Args:
      shape: of the images.
      kernel: [k, k, 1, C], k at least the stride.
      cotangent: of the outputs.
      stride: 1 or 2.
      layout: of the images.
    """
    pad, (rows, columns) = kernel.shape[0] // 2, layout.spatial
    edge = pad // stride, (pad + stride - 1) // stride
    padded = _pad_edges(cotangent, edge, edge, layout)
    outputs = [cotangent.shape[axis] for axis in layout.spatial]
    phases = jnp.stack(
        [
            jnp.stack(
                [
                    _phase(padded, kernel, (row, column), outputs, stride, layout)
                    for column in range(stride)
                ],
                columns + 1,
            )
            for row in range(stride)
        ],
        rows + 1,
    )  # [..., H', stride, W', stride, ...]
    height, width = (stride * size for size in outputs)
    whole = layout.around(height, width, -1)
    whole[layout.channel] = shape[layout.channel]
    interleaved = phases.reshape(whole)
    return interleaved[tuple(slice(size) for size in shape)]


def _phase(
    padded: Array,
    kernel: Array,
    phase: tuple[int, int],
    outputs: list[int],
    stride: int,
    layout: Layout,
) -> Array:
    """The gradient of the pixels whose row and column leave `phase` by the stride."""
    side, low, where = kernel.shape[0], kernel.shape[0] // 2 // stride, []
    for offset, size in zip(phase, outputs, strict=True):
        # Pixel u * stride + offset meets tap i in output u + (offset + k // 2 - i) /
        # stride; the last such tap meets the first output.
        last = side - 1 - (side - 1 - offset - side // 2) % stride
        first = low + (offset + side // 2 - last) // stride
        where.append((last, slice(first, first + size + last // stride)))
    (row, rows), (column, columns) = where
    own = kernel[row::-stride, column::-stride]
    seen = padded[tuple(layout.around(rows, columns, slice(None)))]
    return _correlate(seen, own, 1, layout)


def kernel_gradient(
    images: Array, side: int, cotangent: Array, stride: int, layout: Layout
) -> Array:
    """The gradient of a kernel [k, k, 1, C].

    For each column of the kernel, products of rows are added up over some rows of the
    cotangent, for all rows of the kernel at once. What is left of them, a few rows, is
    then summed over pixels and images. One reduction for each tap would read both maps
    k * k times.

    Args:
      images: a feature map.
      side: k.
      cotangent: of the outputs.
      stride: 1 or 2.
      layout: of both.
    """
    axis, pad = layout.spatial[0], side // 2
    block = min(ROWS, cotangent.shape[axis])
    blocks = -(-cotangent.shape[axis] // block)
    missing = blocks * block - cotangent.shape[axis]
    padded = _pad_edges(images, (pad, pad + missing * stride), (pad, pad), layout)
    # With one more column, rows are not a power of two apart, which would let them
    # displace each other from the cache.
    slopes = _pad_edges(cotangent, (0, missing), (0, 1), layout)

    def add_block(total: Array, index: Array) -> tuple[Array, None]:
        start, reach = index * block, (block - 1) * stride + side
        seen = jax.lax.dynamic_slice_in_dim(padded, start * stride, reach, axis)
        own = jax.lax.dynamic_slice_in_dim(slopes, start, block, axis)
        columns = [
            _column_gradient(seen, side, own, column, stride, layout)
            for column in range(side)
        ]
        return total + jnp.stack(columns, 1), None

    channels = images.shape[layout.channel]
    zeros = jnp.zeros((side, side, channels), jnp.float32)
    gradient = jax.lax.scan(add_block, zeros, jnp.arange(blocks))[0]
    return gradient[:, :, None].astype(images.dtype)


def _column_gradient(
    images: Array, side: int, slopes: Array, column: int, stride: int, layout: Layout
) -> Array:
    """The gradient float32[k, C] of one column of the kernel, from some rows."""
    axis, across = layout.spatial
    width = slopes.shape[across] - 1
    columns = slice(column, column + (width - 1) * stride + 1, stride)
    products = _sum(
        images[tuple(layout.around(slice(first, first + side), columns, slice(None)))]
        * slopes[tuple(layout.around(slice(row, row + 1), slice(width), slice(None)))]
        for row, first in enumerate(range(0, slopes.shape[axis] * stride, stride))
    )  # like the images, but k rows
    if layout.channel:
        # A batch that is split over devices survives a sum, and no reshape.
        return products.sum((layout.dims.index("B"), across), dtype=jnp.float32)
    # A product with ones, since XLA would compute the products again in a reduction.
    channels = images.shape[layout.channel]
    order = [layout.dims.index(letter) for letter in "CHWB"]
    flat = products.transpose(order).reshape(channels * side, -1)
    ones = jnp.ones(flat.shape[1], flat.dtype)
    sums = jnp.matmul(flat, ones, preferred_element_type=jnp.float32)
    return sums.reshape(channels, side).T
