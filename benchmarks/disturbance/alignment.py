"""How well the gradients of two paths agree on the weights that they share."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax import Array
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.data import Normalizer, TrainBatches
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.models.network import Network
from difnas_jax.runtime import artifacts
from difnas_jax.runtime.checkpoint import Checkpoints
from difnas_jax.runtime.mesh import data_mesh, replicated
from difnas_jax.training.fates import Leaf, leaves_of, split
from difnas_jax.training.paths import stream, uniform
from difnas_jax.training.recipe import Recipe, build_supernet, initial_variables

PAIRS = 12  # of paths, at each step
IMAGES = 256
# Kind of weights -> the last part of their names.
KINDS = {"scales": "scale", "kernels": "kernel"}


def alignment(config: ConfigDict, folder: Path, steps: Sequence[int]) -> dict[str, Any]:
    """Cosines between the gradients of two paths, over a training.

    Args:
      config: of the supernet.
      folder: of its run, which kept the checkpoints of `steps`.
      steps: where it is measured; 0 is before the training.

    Returns:
      `steps`, and for each kind of weights that trains the cosine at each step, the
      mean over pairs of paths and over the ops that they share.
    """
    model, paths = build_supernet(config), pairs_of_paths(config)
    batch = _batch(config)
    program = jax.jit(functools.partial(gradients, model))
    measured = []
    for step in steps:
        variables = _variables(config, model, folder, step)
        cosines = [
            shared_cosines(*(program(variables, batch, path) for path in pair))
            for pair in paths
        ]
        measured.append({kind: _mean(cosines, kind) for kind in KINDS})
    kinds = [kind for kind in KINDS if measured[0][kind] is not None]
    return {"steps": list(steps), **{k: [one[k] for one in measured] for k in kinds}}


def pairs_of_paths(config: ConfigDict) -> np.ndarray:
    """int32[PAIRS, 2, L], uniform and independent."""
    sample = uniform(build_supernet(config).space)
    keys = [stream(config.seed, "alignment", number) for number in range(2 * PAIRS)]
    return np.stack([sample(key)[0] for key in keys]).reshape(PAIRS, 2, -1)


def gradients(
    model: Network, variables: dict[str, Any], batch: dict[str, Array], path: Array
) -> Any:
    """Of the cross-entropy of a path on a batch, with its own statistics."""

    def loss(params: Any) -> Array:
        logits: Any = model.apply(
            {**variables, "params": params}, batch["image"], path, True
        )
        return optax.softmax_cross_entropy_with_integer_labels(
            logits, batch["label"]
        ).mean()

    return jax.grad(loss)(variables["params"])


def shared_cosines(first: Any, second: Any) -> dict[str, list[float]]:
    """By kind of weights, the cosines of all modules in which both are not zero.

    A module is what lies below one name but for the last: one convolution, or one batch
    norm. What a path does not pass has no gradient.

    Args:
      first: gradients, nested like the parameters.
      second: the same of another path.
    """
    ours, theirs = leaves_of(first), leaves_of(second)
    return {kind: list(_cosines(ours, theirs, last)) for kind, last in KINDS.items()}


def _cosines(
    ours: dict[Leaf, Array], theirs: dict[Leaf, Array], last: str
) -> Iterator[float]:
    for leaf, own in ours.items():
        if leaf[-1] == last:
            one, other = np.ravel(own), np.ravel(theirs[leaf])
            norms = float(np.linalg.norm(one) * np.linalg.norm(other))
            if norms > 0:
                yield float(one @ other) / norms


def _mean(cosines: Sequence[dict[str, list[float]]], kind: str) -> float | None:
    values = [value for pair in cosines for value in pair[kind]]
    return float(np.mean(values)) if values else None


def _batch(config: ConfigDict) -> dict[str, Array]:
    """Images of the training split, as they train."""
    train = data.load(config).train
    normalizer = Normalizer.of(config, train)
    return dict(TrainBatches.of(config, train, normalizer, IMAGES)[0])


def _variables(
    config: ConfigDict, model: Network, folder: Path, step: int
) -> dict[str, Any]:
    """Of the supernet after so many updates."""
    if step == 0:
        return initial_variables(config, model)
    params = variable_shapes(model)["params"]
    fates = Recipe.of_supernet(config).fates(params)
    targets = split({"params": params, "batch_stats": {}}, fates)
    sharding = replicated(data_mesh())
    targets = jax.tree.map(lambda leaf: leaf.update(sharding=sharding), targets)
    with Checkpoints(folder / artifacts.SUPERNET_CHECKPOINTS) as checkpoints:
        return checkpoints.restore(step, variables=targets)["variables"]
