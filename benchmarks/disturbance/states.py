"""A supernet in the course of its training, and the kinds of its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import optax
from jax import Array
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.data import TrainBatches
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.models.network import Network
from difnas_jax.runtime import artifacts
from difnas_jax.runtime.checkpoint import Checkpoints
from difnas_jax.runtime.mesh import data_mesh, replicated
from difnas_jax.training.fates import Leaf, merge, split
from difnas_jax.training.recipe import Recipe, initial_variables

IMAGES = 128
CLASSIFIER = "classifier"
# The last part of the name of a weight of a batch norm or a convolution -> its kind.
KINDS = {"scale": "scales", "bias": "biases", "kernel": "kernels"}


def kind_of_weights(leaf: Leaf) -> str:
    """A value of `KINDS`, or `CLASSIFIER` for both leaves of that."""
    return CLASSIFIER if leaf[0] == CLASSIFIER else KINDS[leaf[-1]]


def batch_of(config: ConfigDict) -> dict[str, Array]:
    """`IMAGES` images of the training split, as they train."""
    train = data.load(config).train
    return dict(TrainBatches.of(config, train, IMAGES)[0])


def params_at(config: ConfigDict, model: Network, folder: Path, step: int) -> Any:
    """All parameters of a supernet after so many updates, whether they train or not.

    Args:
      config: of the supernet.
      model: the network.
      folder: of its run, which kept the checkpoint of `step`.
      step: 0 is before the training.
    """
    if step == 0:
        return merge(initial_variables(config, model))["params"]
    params = variable_shapes(model)["params"]
    fates = Recipe.of_supernet(config).fates(params)
    targets = split({"params": params, "batch_stats": {}}, fates)
    sharding = replicated(data_mesh())
    targets = jax.tree.map(lambda leaf: leaf.update(sharding=sharding), targets)
    with Checkpoints(folder / artifacts.SUPERNET_CHECKPOINTS) as checkpoints:
        variables = checkpoints.restore(step, variables=targets)["variables"]
    return merge(variables)["params"]


def loss_of(model: Network, params: Any, batch: dict[str, Array], path: Array) -> Array:
    """The cross-entropy of a path on a batch with its own statistics, in nats.

    Args:
      model: the supernet.
      params: all parameters.
      batch: images and labels.
      path: int32[L].
    """
    variables = {"params": params, "batch_stats": {}}
    logits: Any = model.apply(variables, batch["image"], path, True)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    return losses.mean()
