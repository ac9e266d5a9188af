"""The network of a space of cells: supernet and found network, like `Supernet`."""

from collections.abc import Sequence

import jax
from jax import Array

from difnas_jax.models.batchnorm import BatchNorm
from difnas_jax.models.cell_blocks import Reduction, ReluConv
from difnas_jax.models.kernels import Conv
from difnas_jax.models.layers import ChoiceLayer, layer_name
from difnas_jax.models.supernet import Network
from difnas_jax.ops.layout import Layout
from difnas_jax.spaces.base import Op
from difnas_jax.spaces.cell import CellSpace

CONV3 = Op("conv3", "relu_conv", 3)


class CellNetwork(Network):
    """Stem, stages of cells with reductions between, global pooling, classifier.

    An edge is a layer of the path; its variables lie under `layer_EE/<op>/cell_KK`, the
    cells counted through all stages.
    """

    space: CellSpace

    def features(
        self, images: Array, path: Array, train: bool, layout: Layout
    ) -> Array:
        """See `Network.features`."""
        space, edges = self.space, self._edges(layout)
        stem = Conv(space.channels[0], 3, 1, layout, name="entry")
        hidden = BatchNorm(layout, name="bn_entry")(stem(images), train)
        for stage, width in enumerate(space.channels):
            if stage:
                hidden = self._reduction(stage, width, layout)(hidden, train)
            for cell in range(stage * space.cells, (stage + 1) * space.cells):
                hidden = self._cell(edges, hidden, path, train, cell)
        return BatchNorm(layout, jax.nn.relu, name="bn_last")(hidden, train)

    def _edges(self, layout: Layout) -> list[ChoiceLayer]:
        space = self.space
        widths = tuple(width for width in space.channels for _ in range(space.cells))
        return [
            ChoiceLayer(
                layer=layer,
                ops=space.ops,
                parallel_identity=index in self.parallel_identity,
                layout=layout,
                activation=jax.nn.relu,
                rematerialize=self.rematerialize,
                widths=widths,
                name=layer_name(index),
            )
            for index, layer in enumerate(space.layers)
        ]

    def _cell(
        self,
        edges: Sequence[ChoiceLayer],
        inputs: Array,
        path: Array,
        train: bool,
        cell: int,
    ) -> Array:
        """The last node; each node is the sum of its incoming edges."""
        nodes: dict[int, Array] = {0: inputs}
        for index, (source, target) in enumerate(self.space.edges):
            output = edges[index](nodes[source], path[index], train, cell)
            nodes[target] = nodes[target] + output if target in nodes else output
        return nodes[self.space.num_nodes - 1]

    def _reduction(self, stage: int, width: int, layout: Layout) -> Reduction:
        first, second = (
            ReluConv(CONV3, width, stride, layout, jax.nn.relu, parent=None)
            for stride in (2, 1)
        )
        return Reduction(first, second, layout, name=f"reduction_{stage}")
