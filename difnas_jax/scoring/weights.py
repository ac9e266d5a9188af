"""With which weights the retraining of a found network begins."""

import dataclasses
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


@dataclasses.dataclass(frozen=True)
class WeightsRow:
    """With which weights a retraining begins.

    Attributes:
      begin: (config, workdir, network) -> its variables.
      needs: keys of `config.stages.NEEDS`.
    """

    begin: Callable[[ConfigDict, Path, Network], Variables]
    needs: frozenset[str] = frozenset()


WEIGHTS = {
    "new": WeightsRow(new),
    "supernet": WeightsRow(of_supernet, frozenset({"supernet"})),
}
