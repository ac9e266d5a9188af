"""The networks over spaces: supernet, and the found network as the same code.

The found network is the supernet over a space of size one, `space.cut(architecture)`,
and its variables are a subtree of the supernet's.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from difnas_jax.models import modules
from difnas_jax.models.blocks import BLOCKS, ReluConv
from difnas_jax.models.layers import ChoiceLayer, layer_name
from difnas_jax.models.path_maps import PathMaps
from difnas_jax.ops.layout import Layout, fastest
from difnas_jax.ops.normalization import Activation
from difnas_jax.spaces.base import Op, SearchSpace
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.image import ImageSpace

DTYPES: dict[str, Any] = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Network(nn.Module):
    """What the networks of all kinds of spaces share.

    Collections: `params` (weights), `frozen` (weights that a training moves out of
    `params`, see `modules`), `batch_stats` (see `BatchNorm`).

    Attributes:
      space: the search space.
      dropout: rate before the classifier; needs the random stream `dropout`.
      dtype: key of `DTYPES`, in which feature maps are computed; variables, batch-norm
        statistics and logits are float32.
      rematerialize: keep the input of each searchable layer only and compute the layer
        again in the backward pass: less memory, about a third more work.
      parallel_identity: layers with an always-on identity branch.
      own_skip: whether blocks keep their own skip connections in these layers.
      layout: of the feature maps; None takes the fastest of this machine's backend.
      activation: key of `modules.ACTIVATIONS`; empty is that of the space.
    """

    space: ImageSpace
    dropout: float
    dtype: str
    rematerialize: bool
    parallel_identity: tuple[int, ...] = ()
    own_skip: bool = True
    layout: Layout | None = None
    activation: str = ""

    @property
    def map_layout(self) -> Layout:
        """The layout of the feature maps."""
        return self.layout or fastest()

    def setup(self) -> None:
        """Make what every network has; `make_parts` makes the rest."""
        self.make_parts(self.map_layout)
        self.drop = nn.Dropout(self.dropout)
        classes, bias = self.space.num_classes, self.space.classifier_bias
        self.classifier = modules.Linear(classes, bias)

    def __call__(self, images: Array, path: Array, train: bool) -> Array:
        """Classify images along one path.

        Args:
          images: float32[B, H, W, C].
          path: int32[L]; an op that its layer does not allow is not noticed here
            (`SearchSpace.validate` on the host does).
          train: batch statistics and dropout instead of running statistics.

        Returns:
          float32[B, num_classes] logits.
        """
        return self.follow((self.enter(images, train),), path[None], train)[0]

    def enter(self, images: Array, train: bool) -> Array:
        """What all paths have in common, before the first searchable layer.

        Args:
          images: float32[B, H, W, C].
          train: see `__call__`.

        Returns:
          A feature map in the layout and type of this network.
        """
        return self.begin(
            self.map_layout.arrange(images).astype(DTYPES[self.dtype]), train
        )

    def follow(
        self, maps: tuple[Array, ...], paths: Array, train: bool, fair: bool = False
    ) -> Array:
        """Classify what `enter` returned along K paths, side by side.

        Args:
          maps: the feature map of all paths, or one for each of them.
          paths: int32[K, L]; see `__call__`.
          train: see `__call__`.
          fair: the paths are strictly fair, see `ChoiceLayer.together`.

        Returns:
          float32[K, B, num_classes] logits.
        """
        ends = self.along(PathMaps.of(maps, len(paths)), paths, train, fair)
        logits = ends.each(lambda hidden: self.classify(hidden, train))
        return jnp.stack(logits.in_order())

    def classify(self, hidden: Array, train: bool) -> Array:
        """The last feature map -> float32[B, num_classes]."""
        pooled = hidden.astype(jnp.float32).mean(self.map_layout.spatial)
        if self.map_layout.channel == 0:
            pooled = pooled.T  # [C, B] -> [B, C]
        return self.classifier(self.drop(pooled, deterministic=not train))

    def make_parts(self, layout: Layout) -> None:
        """Make the submodules of `begin` and `along`."""
        raise NotImplementedError

    def begin(self, images: Array, train: bool) -> Array:
        """Images in the layout -> the input of the first searchable layers."""
        raise NotImplementedError

    def along(self, paths: PathMaps, ops: Array, train: bool, fair: bool) -> PathMaps:
        """The outputs of `begin` -> the last feature maps, along int32[K, L] ops."""
        raise NotImplementedError

    def choice_layer(
        self, layer: int, layout: Layout, activation: Activation, **options: Any
    ) -> ChoiceLayer:
        """A searchable layer or edge, with the options of this network."""
        return ChoiceLayer(
            layer=self.space.layers[layer],
            ops=self.space.ops,
            parallel_identity=layer in self.parallel_identity,
            own_skip=self.own_skip,
            layout=layout,
            activation=activation,
            rematerialize=self.rematerialize,
            name=layer_name(layer),
            **options,
        )


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
            paths = choice.together(paths, ops[:, layer], train, fair)
        return paths.each(lambda hidden: self.bn_head(self.head(hidden), train))


class CellNetwork(Network):
    """Stem, stages of cells with reductions between, global pooling, classifier.

    An edge is a layer of the path; its variables lie under `layer_EE/<op>/cell_KK`, the
    cells counted through all stages.
    """

    space: CellSpace

    def make_parts(self, layout: Layout) -> None:
        """See `Network.make_parts`."""
        space = self.space
        activation = modules.ACTIVATIONS[self.activation or "relu"]
        self.widths = tuple(c for c in space.channels for _ in range(space.cells))
        self.edges = [
            self.choice_layer(layer, layout, activation, widths=self.widths)
            for layer in range(space.num_layers)
        ]
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
        return self.bn_entry(self.entry(images), train)

    def along(self, paths: PathMaps, ops: Array, train: bool, fair: bool) -> PathMaps:
        """See `Network.along`."""
        space = self.space
        for cell in range(len(self.widths)):
            stage, first = divmod(cell, space.cells)
            if stage and not first:
                reduction = self.reductions[stage - 1]
                paths = paths.each(functools.partial(reduction, train=train))
            # Each node is the sum of its incoming edges; the last one is the output.
            nodes = {0: paths}
            for edge, (source, target) in enumerate(space.edges):
                output = self.edges[edge].together(
                    nodes[source], ops[:, edge], train, fair, cell
                )
                nodes[target] = nodes[target] + output if target in nodes else output
            paths = nodes[space.num_nodes - 1]
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


NETWORKS: dict[type[SearchSpace], Callable[..., Network]] = {
    CellSpace: CellNetwork,
    ChainSpace: Supernet,
}


def network(space: SearchSpace, **options: Any) -> Network:
    """The network over a space; over a space of size one, the found network.

    Args:
      space: the search space.
      **options: the other attributes of `Network`.
    """
    return NETWORKS[type(space)](space, **options)
