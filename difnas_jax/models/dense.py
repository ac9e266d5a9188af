"""The network over fully connected layers."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from difnas_jax.models import modules
from difnas_jax.models.network import Network
from difnas_jax.models.path_maps import PathMaps
from difnas_jax.ops.layout import CHANNELS_LAST, Layout
from difnas_jax.spaces.dense import DenseSpace

LEAST_NORM = 1e-6  # an image of zeros stays what it is


class DenseNetwork(Network):
    """Flattened images of norm 1, hidden layers, classifier: theory's NTK networks.

    f^l = phi_l(W_l f^(l-1) / sqrt(C)) + a_l f^(l-1), y = w f^H / sqrt(C), with C inputs
    each, and f^0 = sqrt(C) x of an image x of norm 1. The weights start as N(0, 1); no
    layer has a bias or a batch norm. A feature map has one pixel.
    """

    space: DenseSpace

    def make_parts(self, layout: Layout) -> None:
        """See `Network.make_parts`."""
        # Every op has its own, unless the network is to have another in all of them.
        activation: Any = modules.ACTIVATIONS.get(self.activation)
        self.choices = [
            self.choice_layer(layer, layout, activation)
            for layer in range(self.space.num_layers)
        ]
        # The classifier: its name is the role that the kernels of this network have.
        self.dense = modules.Pointwise(self.space.num_classes, layout)

    def begin(self, images: Array, train: bool) -> Array:
        """See `Network.begin`; the same order of the channels in every layout."""
        layout = self.map_layout
        pixels = images.transpose([layout.dims.index(d) for d in CHANNELS_LAST.dims])
        # [B, H, W, C] -> [B, 1, 1, HWC]
        flat = pixels.reshape(pixels.shape[0], 1, 1, -1)
        norms = jnp.linalg.norm(flat, axis=-1, keepdims=True)
        scale = flat.shape[-1] ** 0.5 / jnp.maximum(norms, LEAST_NORM)
        return layout.arrange(scale * flat)

    def along(self, paths: PathMaps, ops: Array, train: bool, fair: bool) -> PathMaps:
        """See `Network.along`."""
        for layer, choice in enumerate(self.choices):
            paths = self.passed_on(layer, paths)
            paths = choice.together(paths, ops[:, layer], train, fair)
        return self.passed_on(len(self.choices), paths)

    def classify(self, hidden: Array, train: bool) -> Array:
        """See `Network.classify`."""
        kept = self.drop(hidden, deterministic=not train)
        scale = hidden.shape[self.map_layout.channel] ** -0.5
        return self.pooled(self.dense(scale * kept))
