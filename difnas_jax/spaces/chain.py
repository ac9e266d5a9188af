"""Spaces of one chain: stem, fixed blocks, L searchable layers, head."""

import dataclasses
import itertools

import numpy as np

from difnas_jax.spaces.base import Op
from difnas_jax.spaces.costs import BLOCK_COSTS, Cost, classifier, conv_bn, total
from difnas_jax.spaces.image import ImageLayer, ImageSpace, Shape, strided


@dataclasses.dataclass(frozen=True)
class FixedBlock(Shape):
    """A block before the searchable layers that every architecture has."""

    op: Op


@dataclasses.dataclass(frozen=True)
class SequentialSpace(ImageSpace):
    """A space whose layers follow one another, each the input of the next."""

    def canonical(self, architectures: np.ndarray) -> np.ndarray:
        """Move the identities of each run of equal layers to its end.

        In a run of normal layers of one shape an identity does nothing, so only the
        order of the other ops matters. A run consists of equal layers: where neighbours
        allow different ops, equal networks may keep different architectures.

        Args:
          architectures: int[N, L], valid ones.

        Returns:
          int[N, L].
        """
        packed = np.array(architectures)
        for run in self.identity_runs:
            ops = packed[:, run]
            order = np.argsort(ops == self.identity, axis=1, kind="stable")
            packed[:, run] = np.take_along_axis(ops, order, axis=1)
        return packed

    @property
    def identity_runs(self) -> tuple[slice, ...]:
        """Runs of equal normal layers that allow identity."""
        runs, start = [], 0
        for layer, run in itertools.groupby(self.layers):
            stop = start + len(list(run))
            if layer.is_normal and self.identity in layer.ops:
                runs.append(slice(start, stop))
            start = stop
        return tuple(runs)


@dataclasses.dataclass(frozen=True)
class ChainSpace(SequentialSpace):
    """A single-path search space: stem, fixed blocks, L searchable layers, head.

    Attributes:
      stem_channels: outputs of the 3x3 convolution at the start.
      stem_stride: its stride.
      fixed: blocks between the stem and the searchable layers.
      head_channels: outputs of the 1x1 convolution before global pooling.
      activation: of all blocks, stem and head; a key of `models.modules.ACTIVATIONS`.
    """

    stem_channels: int
    stem_stride: int
    fixed: tuple[FixedBlock, ...]
    head_channels: int
    activation: str = "relu6"

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Side in pixels of the input of each layer, and last that of the head."""
        blocks = [*self.fixed, *self.layers]
        strides = [self.stem_stride, *(block.stride for block in blocks)]
        sizes = itertools.accumulate(strides, strided, initial=self.image_size)
        return tuple(sizes)[1 + len(self.fixed) :]

    def op_cost(self, layer: int, op: Op) -> Cost:
        """(MACs, parameters) of an op in a layer."""
        return BLOCK_COSTS[op.kind](op, self.layers[layer], self.layer_sizes[layer])

    def fixed_cost(self, linear: str) -> Cost:
        """(MACs, parameters) of stem, fixed blocks, head and classifier."""
        size = strided(self.image_size, self.stem_stride)
        parts = [conv_bn(3, self.image_channels, self.stem_channels, size)]
        for block in self.fixed:
            parts.append(BLOCK_COSTS[block.op.kind](block.op, block, size))
            size = strided(size, block.stride)
        last, head = self.layers[-1].out_channels, self.head_channels
        parts.append(conv_bn(1, last, head, self.layer_sizes[-1]))
        bias = self.classifier_bias
        parts.append(classifier(head, self.num_classes, linear, bias=bias))
        return total(parts)


def stage_layers(
    in_channels: int,
    stages: tuple[tuple[int, int, int], ...],
    *,
    reducing: int,
    normal: int,
) -> tuple[ImageLayer, ...]:
    """Lay out stages of (out channels, stride of the first layer, layers).

    Args:
      in_channels: channels before the first layer.
      stages: one row per stage.
      reducing: how many ops, the first of the space, a layer that changes the shape
        allows.
      normal: the same for all other layers.
    """
    layers = []
    for out_channels, first_stride, count in stages:
        for stride in [first_stride] + [1] * (count - 1):
            is_normal = Shape(in_channels, out_channels, stride).is_normal
            ops = tuple(range(normal if is_normal else reducing))
            layers.append(ImageLayer(in_channels, out_channels, stride, ops=ops))
            in_channels = out_channels
    return tuple(layers)
