"""Fully connected networks with an activation and a skip bit in each layer.

The class of networks of EigenNAS (Zhu et al. 2022), which searches activations and skip
connections by the minimum eigenvalue of the neural tangent kernel. Of the paper only
the abstract is known to us: depth, width and the linear activation are ours.
"""

import dataclasses
from typing import ClassVar, Unpack

from difnas_jax.spaces.base import IDENTITY, Op
from difnas_jax.spaces.chain import SequentialSpace
from difnas_jax.spaces.costs import BLOCK_COSTS, Cost, classifier
from difnas_jax.spaces.image import ImageLayer, Images

ACTIVATIONS = ("relu", "leaky_relu", "tanh", "sigmoid", "swish", "linear")
OPS = (
    *(Op(name, "dense", skip=False, activation=name) for name in ACTIVATIONS),
    *(Op(f"{name}+skip", "dense", activation=name) for name in ACTIVATIONS),
    IDENTITY,
)
WIDTH = 64


@dataclasses.dataclass(frozen=True)
class DenseSpace(SequentialSpace):
    """Hidden layers of one width over flattened images of norm 1, then a classifier.

    Only the layers have weights: no biases, and no batch norms. The input of a layer
    has one pixel.
    """

    has_batch_norms: ClassVar[bool] = False

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """1 for the input of each layer, and for the output of the last."""
        return (1,) * (self.num_layers + 1)

    def op_cost(self, layer: int, op: Op) -> Cost:
        """(MACs, parameters) of an op in a layer."""
        return BLOCK_COSTS[op.kind](op, self.layers[layer], 1)

    def fixed_cost(self, linear: str) -> Cost:
        """(MACs, parameters) of the classifier."""
        width = self.layers[-1].out_channels
        return classifier(width, self.num_classes, linear, bias=self.classifier_bias)


def dense(**images: Unpack[Images]) -> DenseSpace:
    """Four to six hidden layers: two may be left out, and the first has no skip."""
    inputs = images["image_size"] ** 2 * images["image_channels"]
    plain, all_but_identity = len(ACTIVATIONS), len(OPS) - 1
    hidden = [
        ImageLayer(WIDTH, WIDTH, stride=1, ops=tuple(range(count)))
        for count in (*(all_but_identity,) * 3, *(len(OPS),) * 2)
    ]
    return DenseSpace(
        name="dense",
        **images,
        ops=OPS,
        layers=(ImageLayer(inputs, WIDTH, stride=1, ops=tuple(range(plain))), *hidden),
        classifier_bias=False,
    )
