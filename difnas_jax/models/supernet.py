"""The supernet of a chain, and the found network as the same code.

The found network is the supernet over a space of size one, `space.cut(architecture)`,
and its variables are a subtree of the supernet's.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from difnas_jax.models.batchnorm import BatchNorm
from difnas_jax.models.blocks import BLOCKS
from difnas_jax.models.kernels import ACTIVATIONS, Conv, Linear, Pointwise
from difnas_jax.models.layers import ChoiceLayer, layer_name
from difnas_jax.ops.layout import Layout, fastest
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.image import ImageSpace

DTYPES: dict[str, Any] = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Network(nn.Module):
    """What the networks of all kinds of spaces share.

    Collections: `params` (weights), `frozen` (weights that a training moves out of
    `params`, see `kernels`), `batch_stats` (see `BatchNorm`).

    Attributes:
      space: the search space.
      dropout: rate before the classifier; needs the random stream `dropout`.
      dtype: key of `DTYPES`, in which feature maps are computed; variables, batch-norm
        statistics and logits are float32.
      rematerialize: keep the input of each searchable layer only and compute the layer
        again in the backward pass: less memory, about a third more work.
      parallel_identity: layers with an always-on identity branch.
      layout: of the feature maps; None takes the fastest of this machine's backend.
    """

    space: ImageSpace
    dropout: float
    dtype: str
    rematerialize: bool
    parallel_identity: tuple[int, ...] = ()
    layout: Layout | None = None

    @nn.compact
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
        layout = self.layout or fastest()
        images = layout.arrange(images).astype(DTYPES[self.dtype])
        hidden = self.features(images, path, train, layout)
        pooled = hidden.astype(jnp.float32).mean(layout.spatial)
        if layout.channel == 0:
            pooled = pooled.T  # [C, B] -> [B, C]
        pooled = nn.Dropout(self.dropout, deterministic=not train)(pooled)
        classes, use_bias = self.space.num_classes, self.classifier_bias
        return Linear(classes, use_bias, name="classifier")(pooled)

    @property
    def classifier_bias(self) -> bool:
        """Whether the classifier adds a bias."""
        return True

    def features(
        self, images: Array, path: Array, train: bool, layout: Layout
    ) -> Array:
        """Images in the layout -> the last feature map; makes its submodules."""
        raise NotImplementedError


class Supernet(Network):
    """Stem, fixed blocks, searchable layers, head, global pooling, classifier."""

    space: ChainSpace

    @property
    def classifier_bias(self) -> bool:
        """See `Network.classifier_bias`."""
        return self.space.classifier_bias

    def features(
        self, images: Array, path: Array, train: bool, layout: Layout
    ) -> Array:
        """See `Network.features`."""
        space = self.space
        activation = ACTIVATIONS[space.activation]
        shared = {"layout": layout, "activation": activation}
        stem = Conv(space.stem_channels, 3, space.stem_stride, layout, name="stem")
        hidden = BatchNorm(layout, activation, name="bn_stem")(stem(images), train)
        for index, block in enumerate(space.fixed):
            make, name = BLOCKS[block.op.kind], f"fixed_{index}"
            fixed = make(
                block.op, block.out_channels, block.stride, **shared, name=name
            )
            hidden = fixed(hidden, train)
        for index, layer in enumerate(space.layers):
            hidden = ChoiceLayer(
                layer=layer,
                ops=space.ops,
                parallel_identity=index in self.parallel_identity,
                rematerialize=self.rematerialize,
                **shared,
                name=layer_name(index),
            )(hidden, path[index], train)
        head = Pointwise(space.head_channels, layout, name="head")
        return BatchNorm(layout, activation, name="bn_head")(head(hidden), train)
