"""Depthwise convolutions as Triton kernels for NVIDIA GPUs, channels last.

XLA would call cuDNN, whose kernels for these shapes differ in speed by factors, so that
it has to time dozens of them for each shape: minutes for a supernet. One kernel here
serves the convolution and the gradient of its images, all kernel sizes and both
strides; sums are float32 whatever the inputs are. The gradient of a kernel is left to
XLA.

A batch that is split over devices stays split.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import sequential_vmap
from jax.experimental import pallas as pl
from jax.experimental.custom_partitioning import custom_partitioning
from jax.experimental.pallas import triton
from jax.sharding import NamedSharding, PartitionSpec

from difnas_jax.ops.layout import CHANNELS_LAST, Layout

# Pixels and channels of one block: the fastest of three on an H200.
PIXELS, CHANNELS = 64, 32


class _Taps(NamedTuple):
    """Which input and which weight tap i of an output pixel reads, along one dimension.

    Forward, output u reads the inputs stride * u + i - k // 2. Backward, the gradient
    at pixel stride * u + v reads the cotangents of those outputs that read it, one
    weight in `stride`.
    """

    side: int
    stride: int
    backward: bool

    @property
    def phases(self) -> int:
        """How many kinds of output pixels differ in the weights that they read."""
        return self.stride if self.backward else 1

    @property
    def count(self) -> int:
        """Taps of an output pixel; the last ones may lie outside of the kernel."""
        return -(-self.side // self.phases)

    def read(self, pixel: Array, phase: Array, tap: Any) -> tuple[Array, Any]:
        """Pixel u of a phase v -> (input, weight) of a tap."""
        pad = self.side // 2
        if not self.backward:
            return self.stride * pixel + tap - pad, tap
        first = (phase + pad) % self.stride
        return (
            pixel + (phase + pad - first) // self.stride - tap,
            first + self.stride * tap,
        )


def _sum_of_taps(inputs: Any, weights: Any, outputs: Any, taps: _Taps) -> None:
    """Kernel: a block of output pixels, all of one phase, and channels."""
    (batch, height, width, channels), side = inputs.shape, taps.side
    rows, columns = (-(-size // taps.phases) for size in outputs.shape[1:3])
    channel = pl.program_id(0) * CHANNELS + jnp.arange(CHANNELS)
    pixel = pl.program_id(1) * PIXELS + jnp.arange(PIXELS)
    phases = pl.program_id(2) // taps.phases, pl.program_id(2) % taps.phases
    image, rest = pixel // (rows * columns), pixel % (rows * columns)
    row, column = rest // columns, rest % columns
    to_row, to_column = taps.phases * row + phases[0], taps.phases * column + phases[1]
    exists = (image < batch) & (to_row < outputs.shape[1])
    exists &= to_column < outputs.shape[2]

    def add_row(tap: Any, total: Array) -> Array:
        source_row, weight_row = taps.read(row, phases[0], tap)
        for other in range(taps.count):
            source_column, weight_column = taps.read(column, phases[1], other)
            inside = exists & (weight_row < side) & (weight_column < side)
            inside &= (source_row >= 0) & (source_row < height)
            inside &= (source_column >= 0) & (source_column < width)
            where = image, source_row, source_column
            values = _load(inputs, where, channel, inside)
            at = jnp.minimum(weight_row, side - 1), jnp.minimum(weight_column, side - 1)
            total += values * _weights(weights, at, channel)
        return total

    total = jnp.zeros((PIXELS, CHANNELS), jnp.float32)
    total = jax.lax.fori_loop(0, taps.count, add_row, total)
    triton.store(
        outputs.at[_block((image, to_row, to_column), channel)],
        total.astype(outputs.dtype),
        mask=exists[:, None] & (channel < channels),
    )


def _block(pixels: tuple[Array, ...], channel: Array) -> tuple[Array, ...]:
    """The index of some pixels and channels, [P] and [C] -> [P, C]."""
    return *(index[:, None] for index in pixels), channel[None, :]


def _load(maps: Any, pixels: tuple[Array, ...], channel: Array, exists: Array) -> Array:
    """float32[P, C] of a map [B, H, W, C], zeros where there is none."""
    mask = exists[:, None] & (channel < maps.shape[-1])
    block = triton.load(maps.at[_block(pixels, channel)], mask=mask, other=0)
    return block.astype(jnp.float32)


def _weights(weights: Any, at: tuple[Any, Any], channel: Array) -> Array:
    """float32[C] of a kernel [k, k, 1, C]."""
    mask = channel < weights.shape[-1]
    found = triton.load(weights.at[*at, 0, channel], mask=mask, other=0)
    return found.astype(jnp.float32)


def take(shape: tuple[int, ...], layout: Layout) -> bool:
    """Whether the kernels take maps of a shape: an index has 32 bits.

    A program for batches of any size is exported, and not for this GPU alone.
    """
    known = all(isinstance(size, int) for size in shape)
    return known and layout == CHANNELS_LAST and math.prod(shape) < 2**31


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve(
    images: Array, kernel: Array, stride: int, interpret: bool = False
) -> Array:
    """Convolve every channel with its own filter, padded by k // 2.

    The kernel counts as a constant: its gradient is zero.

    Args:
      images: float[B, H, W, C].
      kernel: float[k, k, 1, C].
      stride: 1 or 2.
      interpret: run on any device, slowly: for tests.
    """
    sizes = tuple(-(-size // stride) for size in images.shape[1:3])
    taps = _Taps(kernel.shape[0], stride, backward=False)
    return _gathered(taps, sizes, interpret)(images, kernel)


def _forward(images: Array, kernel: Array, stride: int, interpret: bool):
    return convolve(images, kernel, stride, interpret), (kernel, images.shape[1:3])


def _backward(stride: int, interpret: bool, saved: Any, cotangent: Array):
    kernel, sizes = saved
    taps = _Taps(kernel.shape[0], stride, backward=True)
    return _gathered(taps, sizes, interpret)(cotangent, kernel), None


convolve.defvjp(_forward, _backward)


@functools.cache
def _gathered(taps: _Taps, sizes: tuple[int, int], interpret: bool) -> Callable:
    """(inputs, kernel) -> outputs of height and width `sizes`."""

    def run(inputs: Array, kernel: Array) -> Array:
        batch, _, _, channels = inputs.shape
        pixels = batch * math.prod(-(-size // taps.phases) for size in sizes)
        return pl.pallas_call(
            functools.partial(_sum_of_taps, taps=taps),
            out_shape=jax.ShapeDtypeStruct((batch, *sizes, channels), inputs.dtype),
            grid=(pl.cdiv(channels, CHANNELS), pl.cdiv(pixels, PIXELS), taps.phases**2),
            compiler_params=triton.CompilerParams(num_warps=4, num_stages=2),
            interpret=interpret,
        )(inputs, kernel)

    return _batch_split(run)


def _batch_split(run: Callable) -> Callable:
    """Let every device run its part of the batch.

    XLA knows no way to divide a kernel, and would gather the whole batch everywhere.

    Args:
      run: (inputs, kernel) -> outputs.
    """

    def partition(mesh: Any, arguments: Any, result: Any) -> tuple[Any, ...]:
        batch = PartitionSpec(*tuple(arguments[0].sharding.spec)[:1])
        split, whole = (NamedSharding(mesh, s) for s in (batch, PartitionSpec()))
        return mesh, run, split, (split, whole)

    divided = custom_partitioning(run)
    rule = "b h w c, r s o c -> b u v c"
    divided.def_partition(partition=partition, sharding_rule=rule)
    return sequential_vmap(divided)
