"""The neural tangent kernel of fully connected networks, without their Jacobian.

The gradient of an output by the weights of a layer is the product of the layer's input
and the cotangent of its pre-activation, so that the kernel of a layer is the product by
element of two Gram matrices: K = sum over layers of (A A') o (D D'). This is exact. The
Jacobian has N times as many numbers as the network has weights; A and D have N C each.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models.dense import DenseNetwork
from difnas_jax.models.layers import layer_name
from difnas_jax.models.network import Network
from difnas_jax.scoring.proxies.base import Apply, Features, Variables, kernel


class Factors(NamedTuple):
    """Of N images and each hidden layer, then the classifier.

    Attributes:
      inputs: float32[N, C] each, as the weights see them.
      cotangents: float32[N, C'] each, of the sum of the logits by the layer's outputs,
        in front of the activation; 0 for a layer that is left out.
    """

    inputs: tuple[Array, ...]
    cotangents: tuple[Array, ...]


def factors(
    model: Network, variables: Variables, images: Array, path: Array
) -> Factors:
    """One forward and one backward pass; a pure function, compiled once for all paths.

    Args:
      model: supernet or found network of the dense space.
      variables: its variables.
      images: float32[N, H, W, C].
      path: int32[L].
    """
    layers, layout, space = range(model.space.num_layers), model.map_layout, model.space

    def logit_sum(offsets: list[Array]) -> tuple[Array, list[Array]]:
        named = {
            layer_name(layer): {
                space.ops[op].name: {"pre_activation": offsets[layer]}
                for op in space.layers[layer].ops
            }
            for layer in layers
        }
        outputs: Any = model.apply(
            {**variables, "offsets": named}, images, path, method=_maps
        )
        logits, maps = outputs
        return logits.sum(), maps

    def rows(array: Array) -> Array:
        """A feature map -> [N, C]."""
        batch = layout.dims.index("B")
        return jnp.moveaxis(array, batch, 0).reshape(len(images), -1)

    one = layout.arrange(jnp.zeros((len(images), 1, 1, space.layers[0].out_channels)))
    gradients, maps = jax.grad(logit_sum, has_aux=True)([one for _ in layers])
    inputs = [rows(array) for array in maps]
    ones = jnp.ones((len(images), space.num_classes))
    return Factors(
        tuple(own * own.shape[1] ** -0.5 for own in inputs),
        (*(rows(gradient) for gradient in gradients), ones),
    )


def features(
    apply: Apply, variables: Variables, images: Array
) -> tuple[Features, Features]:
    """Those of the hidden layers, and of the classifier."""
    found = factors(apply.model, variables, images, apply.path)
    layers = list(zip(*found, strict=True))
    return layers[:-1], layers[-1:]


def _maps(network: DenseNetwork, images: Array, path: Array) -> tuple[Array, Any]:
    """The logits, and the input of each hidden layer and of the classifier."""
    maps = [network.enter(images, False)]
    for layer, choice in enumerate(network.choices):
        maps.append(choice(maps[-1], path[layer], False))
    return network.classify(maps[-1], False), maps


def contracted(parts: Factors) -> np.ndarray:
    """float64[N, N]: the kernel of the sum of the logits, in numpy.

    The products are those of 64 bits: in 32, what is rounded away of the largest
    eigenvalue would exceed the smallest one of a sigmoid network.
    """
    layers = list(zip(*parts, strict=True))
    return kernel(layers, layers)
