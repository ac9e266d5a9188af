"""The time that an update takes at least: bytes to move and multiply-adds to do.

Counted from the layers of a chain of inverted residuals, without a compiler. A
convolution with batch norm reads a map of I elements (normalised and activated) and
makes one of O elements. Weights are read by each pass, and written as gradients where
they train. The optimizer is not counted, nor the identity of a layer indicator.

**Unfused**: every operation reads its operands from memory and writes its result.
Forward, the convolution reads I and writes O, the statistics read O, normalisation and
activation read and write O. Backward, the sums of batch norm read the map and its
gradient, the gradient before batch norm reads both and writes O, the gradient of the
input reads O and writes I; the gradient of a kernel that trains reads I and O. A skip
reads two maps and writes one, in both passes.

**Least**: normalisation and activation are part of the convolutions around them. A map
before batch norm is written once and read three times: by the next convolution, for the
sums of batch norm, and for the gradient through it. Its gradient is written and read
once. The gradient of a kernel reads nothing that the others do not. A skip reads its
input and its own gradient once more, and writes and reads its sum.

Stem and fixed blocks run once for all paths of the same images. The images need no
gradient, and a stem that does not train only the sums of its batch norm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.speed import network
from benchmarks.speed.programs import TimedProgram
from difnas_jax.spaces.base import Op
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.costs import conv_bn
from difnas_jax.spaces.image import Shape, strided

WEIGHT_BYTES = 4


class Limits(NamedTuple):
    """What a machine can do, as measured on it.

    Attributes:
      bandwidth: bytes a second, read and written, of a large copy.
      rate: operations a second of a large matrix product; a multiply-add is two.
    """

    bandwidth: float
    rate: float


@dataclasses.dataclass(frozen=True)
class Work:
    """What an update must do.

    Attributes:
      macs: multiply-adds.
      unfused, least: bytes, by the two rules above.
    """

    macs: float = 0
    unfused: float = 0
    least: float = 0

    def __add__(self, other: Work) -> Work:
        """Both."""
        return Work(
            macs=self.macs + other.macs,
            unfused=self.unfused + other.unfused,
            least=self.least + other.least,
        )

    def times(self, count: float) -> Work:
        """So often."""
        return Work(count * self.macs, count * self.unfused, count * self.least)

    def seconds(self, limits: Limits, rule: str = "least") -> float:
        """The larger one of the times to move bytes and to multiply.

        Args:
          limits: of the machine.
          rule: `least` or `unfused`.
        """
        bytes_moved = getattr(self, rule)
        return max(bytes_moved / limits.bandwidth, 2 * self.macs / limits.rate)


@dataclasses.dataclass(frozen=True)
class Update:
    """What an update computes with.

    Attributes:
      batch_size: images.
      map_bytes: of an element of a feature map, 2 for bfloat16.
      trains: whether all weights train, or the batch norms alone.
    """

    batch_size: int
    map_bytes: int
    trains: bool

    def maps(self, unfused: float, least: float) -> Work:
        """Elements of maps, of one image."""
        size = self.batch_size * self.map_bytes
        return Work(unfused=size * unfused, least=size * least)

    def multiplied(self, macs: int, weights: int, passes: int) -> Work:
        """Multiply-adds of one image, with weights that every pass reads or writes."""
        size = WEIGHT_BYTES * passes * weights
        return Work(self.batch_size * passes * macs, unfused=size, least=size)

    @property
    def passes(self) -> int:
        """Forward, gradient of the inputs and, where they train, of the weights."""
        return 3 if self.trains else 2

    def conv(self, kernel: int, shape: Shape, size: int, groups: int = 1) -> Work:
        """A convolution with batch norm and activation; `size` is that of its input."""
        inputs, outputs = _elements(shape, size)
        of_kernel = inputs + outputs if self.trains else 0
        maps = self.maps(2 * inputs + 10 * outputs + of_kernel, 6 * outputs)
        macs, weights = _kernel(kernel, shape, size, groups)
        return maps + self.multiplied(macs, weights, self.passes)

    def stem(self, shape: Shape, size: int) -> Work:
        """The 3x3 convolution of the images, which need no gradient."""
        inputs, outputs = _elements(shape, size)
        maps = (
            self.maps(2 * inputs + 10 * outputs, 2 * inputs + 6 * outputs)
            if self.trains
            else self.maps(inputs + 6 * outputs, inputs + 3 * outputs)
        )
        macs, weights = _kernel(3, shape, size)
        return maps + self.multiplied(macs, weights, self.passes - 1)

    def block(self, op: Op, shape: Shape, size: int) -> Work:
        """An inverted residual, or an identity that does nothing."""
        if op.kind == "identity":
            return Work()
        hidden = op.expansion * shape.in_channels
        out_size = strided(size, shape.stride)
        depthwise = Shape(hidden, hidden, shape.stride)
        work = self.conv(op.kernel, depthwise, size, groups=hidden)
        work += self.conv(1, Shape(hidden, shape.out_channels, 1), out_size)
        if op.expansion > 1:
            work += self.conv(1, Shape(shape.in_channels, hidden, 1), size)
        if shape.is_normal:
            outputs = out_size**2 * shape.out_channels
            work += self.maps(6 * outputs, 4 * outputs)
        return work

    def end(self, space: ChainSpace) -> Work:
        """Head, pooling and classifier."""
        last, size = space.layers[-1].out_channels, space.layer_sizes[-1]
        work = self.conv(1, Shape(last, space.head_channels, 1), size)
        pooled = self.maps(2 * size**2 * space.head_channels, 0)
        weights = space.head_channels * space.num_classes
        return work + pooled + self.multiplied(weights, weights, self.passes)


def _elements(shape: Shape, size: int) -> tuple[int, int]:
    """Of the map before and after; `size` is the side of the one before."""
    after = strided(size, shape.stride) ** 2 * shape.out_channels
    return size**2 * shape.in_channels, after


def _kernel(kernel: int, shape: Shape, size: int, groups: int = 1) -> tuple[int, int]:
    """(multiply-adds, weights) of a convolution."""
    out_size = strided(size, shape.stride)
    macs, _ = conv_bn(kernel, shape.in_channels, shape.out_channels, out_size, groups)
    return macs, macs // out_size**2


def of_update(
    space: ChainSpace, paths: np.ndarray | Sequence[Sequence[int]], update: Update
) -> Work:
    """What one update of some paths must do.

    Args:
      space: of inverted residuals.
      paths: int[K, L].
      update: its images and what trains.
    """
    stem = Shape(space.image_channels, space.stem_channels, space.stem_stride)
    work = update.stem(stem, space.image_size)
    size = strided(space.image_size, space.stem_stride)
    for block in space.fixed:
        work += update.block(block.op, block, size)
        size = strided(size, block.stride)
    for path in paths:
        work += update.end(space)
        for layer, size, op in zip(space.layers, space.layer_sizes, path, strict=False):
            work += update.block(space.ops[int(op)], layer, size)
    return work


def of_program(program: TimedProgram) -> Work:
    """The mean work of an update of a timed program."""
    space = network.SPACES[program.space]()
    map_bytes = 2 if program.fields.get("dtype") == "bfloat16" else 4
    trains = program.trainable == "all"
    update = Update(program.batch_size, map_bytes, trains)
    paths = next(network.path_sets(program.paths, space.num_layers))
    if program.together:
        return of_update(space, paths, update)
    single = sum((of_update(space, [path], update) for path in paths), Work())
    return single.times(1 / len(paths))
