"""What the networks over all kinds of spaces share."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from difnas_jax.models import modules
from difnas_jax.models.layers import ChoiceLayer, layer_name
from difnas_jax.models.logit_norm import LogitNorm
from difnas_jax.models.path_maps import PathMaps
from difnas_jax.ops.layout import Layout, fastest
from difnas_jax.ops.normalization import Activation
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
      logit_gammas: whether `LogitNorm` stands behind the classifier.
      between: (network, number of the block behind, its output) -> the input of the
        next block; None passes it on. For measurements.
    """

    space: ImageSpace
    dropout: float
    dtype: str
    rematerialize: bool
    parallel_identity: tuple[int, ...] = ()
    own_skip: bool = True
    layout: Layout | None = None
    activation: str = ""
    logit_gammas: bool = False
    between: Callable[[nn.Module, int, Array], Array] | None = None

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
        if self.logit_gammas:
            shape = self.space.num_layers, self.space.num_ops
            self.bn_logits = LogitNorm(shape)

    def __call__(self, images: Array, path: Array, train: bool) -> Array:
        """Classify images along one path.

        Args:
          images: float32[B, H, W, C].
          path: int32[L]; an op that its layer does not allow is not noticed here
            (`SearchSpace.validate` on the host does). Or float32[L, O], a weight for
            each op: layers add up all of their ops.
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
        by_path = ends.each(lambda hidden: self.classify(hidden, train))
        logits = jnp.stack(by_path.in_order())
        return self.bn_logits(logits, paths) if self.logit_gammas else logits

    def classify(self, hidden: Array, train: bool) -> Array:
        """The last feature map -> float32[B, num_classes]."""
        pooled = self.pooled(hidden)
        return self.classifier(self.drop(pooled, deterministic=not train))

    def pooled(self, hidden: Array) -> Array:
        """A feature map -> float32[B, C], the mean over its pixels."""
        means = hidden.astype(jnp.float32).mean(self.map_layout.spatial)
        return means.T if self.map_layout.channel == 0 else means  # [C, B] -> [B, C]

    def make_parts(self, layout: Layout) -> None:
        """Make the submodules of `begin` and `along`."""
        raise NotImplementedError

    def begin(self, images: Array, train: bool) -> Array:
        """Images in the layout -> the input of the first searchable layers."""
        raise NotImplementedError

    def along(self, paths: PathMaps, ops: Array, train: bool, fair: bool) -> PathMaps:
        """The outputs of `begin` -> the last feature maps, along int32[K, L] ops."""
        raise NotImplementedError

    def passed_on(self, block: int, paths: PathMaps) -> PathMaps:
        """The outputs of a block, as `between` passes them on to the next one."""
        between = self.between
        if between is None or self.is_initializing():
            return paths
        return paths.each(lambda outputs: between(self, block, outputs))

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
