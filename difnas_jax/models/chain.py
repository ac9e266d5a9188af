"""The network over a chain of layers."""

from jax import Array

from difnas_jax.models import modules
from difnas_jax.models.blocks import BLOCKS
from difnas_jax.models.network import Network
from difnas_jax.models.path_maps import PathMaps
from difnas_jax.ops.layout import Layout
from difnas_jax.spaces.chain import ChainSpace


class Supernet(Network):
    """A chain: stem, fixed blocks, searchable layers, head, pooling, classifier."""

    space: ChainSpace

    def make_parts(self, layout: Layout) -> None:
        """See `Network.make_parts`."""
        space = self.space
        activation = modules.ACTIVATIONS[self.activation or space.activation]
        self.stem = modules.Conv(space.stem_channels, 3, space.stem_stride, layout)
        self.bn_stem = modules.BatchNorm(layout, activation)
        self.fixed = [
            BLOCKS[block.op.kind](
                op=block.op,
                out_channels=block.out_channels,
                stride=block.stride,
                layout=layout,
                activation=activation,
            )
            for block in space.fixed
        ]
        self.choices = [
            self.choice_layer(layer, layout, activation)
            for layer in range(space.num_layers)
        ]
        self.head = modules.Pointwise(space.head_channels, layout)
        self.bn_head = modules.BatchNorm(layout, activation)

    def begin(self, images: Array, train: bool) -> Array:
        """See `Network.begin`."""
        hidden = self.bn_stem(self.stem(images), train)
        for block in self.fixed:
            hidden = block(hidden, train)
        return hidden

    def along(self, paths: PathMaps, ops: Array, train: bool, fair: bool) -> PathMaps:
        """See `Network.along`."""
        for layer, choice in enumerate(self.choices):
            paths = self.passed_on(layer, paths)
            paths = choice.together(paths, ops[:, layer], train, fair)
        paths = self.passed_on(len(self.choices), paths)
        return paths.each(lambda hidden: self.bn_head(self.head(hidden), train))
