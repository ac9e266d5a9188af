"""Spaces of one chain: stem, fixed blocks, L searchable layers, head."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from difnas_jax.spaces.base import Op
from difnas_jax.spaces.block_costs import BLOCK_COSTS, Cost, classifier, conv_bn, total
from difnas_jax.spaces.image import ImageLayer, ImageSpace, Shape, strided


@dataclasses.dataclass(frozen=True)
class FixedBlock(Shape):
    """A block before the searchable layers that every architecture has."""

    op: Op


@dataclasses.dataclass(frozen=True)
class ChainSpace(ImageSpace):
    """A single-path search space: stem, fixed blocks, L searchable layers, head.

    Attributes:
      stem_channels, stem_stride: the 3x3 convolution at the start.
      fixed: blocks between the stem and the searchable layers.
      head_channels: outputs of the 1x1 convolution before global pooling.
      activation: of all blocks, stem and head; a key of `models.kernels.ACTIVATIONS`.
      classifier_bias: whether the classifier has one.
    """

    stem_channels: int
    stem_stride: int
    fixed: tuple[FixedBlock, ...]
    head_channels: int
    activation: str = "relu6"
    classifier_bias: bool = True

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Side in pixels of the input of each layer, and last that of the head."""
        sizes = [strided(self.image_size, self.stem_stride)]
        for block in self.fixed:
            sizes[0] = strided(sizes[0], block.stride)
        for layer in self.layers:
            sizes.append(strided(sizes[-1], layer.stride))
        return tuple(sizes)

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


def stage_layers(
    in_channels: int,
    stages: tuple[tuple[int, int, int], ...],
    *,
    reducing: tuple[int, ...],
    normal: tuple[int, ...],
) -> tuple[ImageLayer, ...]:
    """Lay out stages of (out channels, stride of the first layer, layers).

    Args:
      in_channels: channels before the first layer.
      stages: one row per stage.
      reducing: ops that a layer allows which changes the shape.
      normal: ops of all other layers.
    """
    layers = []
    for out_channels, first_stride, count in stages:
        for index in range(count):
            stride = 1 if index else first_stride
            layer = ImageLayer(in_channels, out_channels, stride, ops=reducing)
            if layer.is_normal:
                layer = dataclasses.replace(layer, ops=normal)
            layers.append(layer)
            in_channels = out_channels
    return tuple(layers)
