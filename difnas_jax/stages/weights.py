"""With which weights the retraining of a found network begins."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from difnas_jax.models.initializers import initialize
from difnas_jax.models.network import Network
from difnas_jax.scoring.trained_supernet import trained_supernet
from difnas_jax.training.fates import leaves_of, merge, tree_of

Variables = dict[str, Any]


def new(config: ConfigDict, workdir: Path, model: Network) -> Variables:
    """Kernels by the rules of the config, as published networks are retrained."""
    kernels, depthwise = config.retrain.kernels, config.retrain.depthwise
    return initialize(model, config.seed, kernels=kernels, depthwise=depthwise)


def of_supernet(config: ConfigDict, workdir: Path, model: Network) -> Variables:
    """Those that the network shared with others in the supernet, frozen ones as well.

    The batch norms that only a supernet has stay behind, and running statistics, which
    it does not keep, begin as in a new network.
    """
    shared = merge(trained_supernet(config, workdir).variables)["params"]
    begun, found = new(config, workdir, model), leaves_of(shared)
    own = tree_of({leaf: found[leaf] for leaf in leaves_of(begun["params"])})
    return {**begun, "params": jax.device_get(own)}


# `retrain.weights` -> config, workdir, network -> its variables.
WEIGHTS: dict[str, Callable[[ConfigDict, Path, Network], Variables]] = {
    "new": new,
    "supernet": of_supernet,
}
