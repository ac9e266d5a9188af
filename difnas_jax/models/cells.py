"""The network over stages of equal cells."""

import functools

import flax.linen as nn
from jax import Array

from difnas_jax.models import modules
from difnas_jax.models.blocks import ReluConv
from difnas_jax.models.network import Network
from difnas_jax.models.path_maps import PathMaps
from difnas_jax.ops.layout import Layout
from difnas_jax.ops.normalization import Activation
from difnas_jax.spaces.base import Op
from difnas_jax.spaces.cell import CellSpace


class CellNetwork(Network):
    """Stem, stages of cells with reductions between, global pooling, classifier.

    An edge is a layer of the path; its variables lie under `layer_EE/<op>/cell_KK`, the
    cells counted through all stages.
    """

    space: CellSpace

    def make_parts(self, layout: Layout) -> None:
        """See `Network.make_parts`."""
        space = self.space
        activation = modules.ACTIVATIONS[self.activation or space.activation]
        self.widths = tuple(c for c in space.channels for _ in range(space.cells))
        self.edges = [
            self.choice_layer(layer, layout, activation, widths=self.widths)
            for layer in range(space.num_layers)
        ]
        if space.stem:
            self.entry = modules.Conv(space.channels[0], 3, 1, layout)
            self.bn_entry = modules.BatchNorm(layout)
        self.reductions = [
            Reduction(width, layout, activation, name=f"reduction_{stage}")
            for stage, width in enumerate(space.channels)
            if stage
        ]
        self.bn_last = modules.BatchNorm(layout, activation)

    def begin(self, images: Array, train: bool) -> Array:
        """See `Network.begin`."""
        if not self.space.stem:
            return images
        return self.bn_entry(self.entry(images), train)

    def along(self, paths: PathMaps, ops: Array, train: bool, fair: bool) -> PathMaps:
        """See `Network.along`."""
        space, block = self.space, 0
        for cell in range(len(self.widths)):
            stage, first = divmod(cell, space.cells)
            if stage and not first:
                reduction = self.reductions[stage - 1]
                paths, block = self.passed_on(block, paths), block + 1
                paths = paths.each(functools.partial(reduction, train=train))
            paths, block = self.passed_on(block, paths), block + 1
            # Each node is the sum of its incoming edges; the last one is the output.
            nodes = {0: paths}
            for edge, (source, target) in enumerate(space.edges):
                output = self.edges[edge].together(
                    nodes[source], ops[:, edge], train, fair, cell
                )
                nodes[target] = nodes[target] + output if target in nodes else output
            paths = nodes[space.num_nodes - 1]
        paths = self.passed_on(block, paths)
        return paths.each(lambda hidden: self.bn_last(hidden, train))


class Reduction(nn.Module):
    """The residual block between two stages: half the side, other channels.

    Two of activation - conv 3x3 - batch norm, the first with stride 2, beside a 2x2
    average pool and a 1x1 convolution without batch norm.
    """

    out_channels: int
    layout: Layout
    activation: Activation

    @nn.compact
    def __call__(self, inputs: Array, train: bool) -> Array:
        """A feature map of even height and width -> one of half of them."""
        outputs, op = inputs, Op("conv3", "relu_conv", 3)
        for name, stride in (("first", 2), ("second", 1)):
            conv = ReluConv(
                op, self.out_channels, stride, self.layout, self.activation, name=name
            )
            outputs = conv(outputs, train)
        shortcut = modules.Pointwise(self.out_channels, self.layout, name="shortcut")
        return outputs + shortcut(halve(inputs, self.layout))


def halve(inputs: Array, layout: Layout) -> Array:
    """Mean over 2 x 2 pixels at stride 2."""
    starts = slice(0, None, 2), slice(1, None, 2)
    parts = [
        inputs[tuple(layout.around(rows, columns, slice(None)))]
        for rows in starts
        for columns in starts
    ]
    return sum(parts[1:], parts[0]) / 4
