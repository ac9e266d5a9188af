"""Networks of tests: float32, without dropout, with the paper's orthogonal kernels."""

from typing import Any

from difnas_jax.models.initializers import initialize
from difnas_jax.models.network import Network
from difnas_jax.models.networks import network
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.layer_indicator import Wiring
from difnas_jax.training.fates import fates_of, split


def plain_network(space: SearchSpace, **changes: Any) -> Network:
    """The network over a space, with some attributes changed."""
    options = {"dropout": 0.0, "dtype": "float32", "rematerialize": False}
    return network(space, **(options | changes))


def plain_supernet(wiring: Wiring) -> Network:
    """The supernet under a wiring of the layer indicator."""
    return plain_network(
        wiring.sampled, parallel_identity=wiring.parallel, own_skip=wiring.own_skip
    )


def initial(
    model: Network,
    seed: int = 0,
    *,
    trainable: str = "all",
    train_classifier: bool = False,
    depthwise: str = "qr",
) -> dict[str, Any]:
    """Initial variables in the collections in which a method trains them."""
    variables = initialize(model, seed, kernels="orthogonal", depthwise=depthwise)
    fates = fates_of(variables["params"], trainable, train_classifier)
    return split(variables, fates)
