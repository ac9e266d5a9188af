"""Accuracy of paths of a trained supernet, each with batch-norm statistics anew."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.data import Examples, Loader, TrainBatches, evaluation_batches
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.models.modules import MOMENTUM
from difnas_jax.models.network import Network
from difnas_jax.runtime.mesh import data_mesh, own_rows, replicate, shard_batch
from difnas_jax.runtime.processes import check_same_arrays
from difnas_jax.scoring.trained_supernet import trained_supernet
from difnas_jax.training import programs
from difnas_jax.training.evaluate import Sums, Variables, sums_of_batch

# Paths that one call of a compiled program evaluates.
PATHS_PER_CALL = 10


@dataclasses.dataclass(frozen=True)
class PathAccuracy:
    """Accuracy of paths of a trained supernet, each with batch-norm statistics anew.

    The running statistics of a supernet would mix paths. As in SPOS, each path gets its
    own: the mean over some training batches of their means and variances. SPOS lets a
    running average forget where it started; a mean needs fewer batches.

    Attributes:
      model: the supernet.
      variables: its trained variables, replicated over the mesh; `batch_stats` give
        the shapes.
      recalibration: training batches, of which the first `recalibration_batches` are
        used for every path.
      recalibration_batches: how many.
      split: the validation examples.
      mesh: devices over which batches are split.
    """

    model: Network
    variables: dict[str, Any]
    recalibration: TrainBatches
    recalibration_batches: int
    split: Examples
    mesh: Mesh

    @property
    def images(self) -> int:
        """Images that pass through the network for the accuracy of one path."""
        batches = self.recalibration_batches
        return batches * self.recalibration.batch_size + len(self.split)

    def __call__(self, paths: np.ndarray) -> np.ndarray:
        """Accuracies, 0 to 1.

        Args:
          paths: int[N, L].

        Returns:
          float64[N].
        """
        check_same_arrays("search", {"paths": paths})
        accuracies = []
        for start in range(0, len(paths), PATHS_PER_CALL):
            part = paths[start : start + PATHS_PER_CALL]
            # One program serves every call: the last one repeats a path.
            missing = (0, PATHS_PER_CALL - len(part)), (0, 0)
            together = np.pad(part, missing, mode="edge").astype(np.int32)
            statistics = replicate(self.statistics(together), self.mesh)
            values = self._measured(statistics, together)
            accuracies.append(values[: len(part)])
        return np.concatenate([np.zeros(0), *accuracies])

    @functools.cached_property
    def _statistics_step(self) -> Any:
        return self._announced(path_statistics, "the statistics of paths")

    @functools.cached_property
    def _eval_step(self) -> Any:
        return self._announced(sums_of_paths, "the accuracy of paths")

    def _announced(self, function: Any, name: str) -> Any:
        """A function of the supernet, compiled."""
        return programs.of_network(
            functools.partial(function, self.model),
            self.variables["params"],
            title="search",
            name=name,
            model=self.model,
            batch_size=self.recalibration.batch_size,
        )

    @property
    def _rows(self) -> slice:
        return own_rows(self.recalibration.batch_size, self.mesh)

    def statistics(self, paths: np.ndarray) -> Any:
        """`path_statistics` of int32[N, L], the mean over the training batches.

        They are numpy arrays, summed on the host: each sum of JAX would be one more
        program that waits for the devices to end that of the batch.
        """
        total = None
        count = self.recalibration_batches
        recalibration = dataclasses.replace(self.recalibration, rows=self._rows)
        with Loader(recalibration, range(count)) as batches:
            for batch in batches:
                images = shard_batch(batch["image"], self.mesh)
                placed = self._statistics_step(self.variables, images, paths)
                found = jax.device_get(placed)
                total = found if total is None else jax.tree.map(np.add, total, found)
        return jax.tree.map(lambda leaf: leaf / count, total)

    def _measured(self, batch_stats: Any, paths: np.ndarray) -> np.ndarray:
        correct, examples = np.zeros(len(paths)), np.zeros(len(paths))
        size, normalizer = self.recalibration.batch_size, self.recalibration.normalizer
        for batch in evaluation_batches(self.split, size, normalizer, self._rows):
            placed = shard_batch(batch, self.mesh)
            sums = self._eval_step(self.variables, batch_stats, placed, paths)
            correct += np.asarray(sums["correct"], np.float64)
            examples += np.asarray(sums["examples"], np.float64)
        return correct / examples


def path_accuracy(config: ConfigDict, workdir: Path) -> PathAccuracy:
    """The accuracy of paths of the supernet in a workdir."""
    trained = trained_supernet(config, workdir)
    dataset, mesh, search = data.load(config), data_mesh(), config.search
    shapes = variable_shapes(trained.model).get("batch_stats", {})
    statistics = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    variables = {**trained.variables, "batch_stats": statistics}
    return PathAccuracy(
        model=trained.model,
        variables=replicate(variables, mesh),
        recalibration=data.TrainBatches.of(
            config, dataset.train, search.recalibration_batch_size
        ),
        recalibration_batches=search.recalibration_batches,
        split=dataset.validation_for("the score of paths"),
        mesh=mesh,
    )


def path_statistics(
    model: Network, variables: Variables, images: Array, paths: Array
) -> Any:
    """The statistics of some images, path by path; a pure function.

    Returns:
      For paths int32[N, L], the collection `batch_stats` with a first dimension N: mean
      and biased variance of every batch norm that a path passes, over these images; 0
      elsewhere.
    """
    zeros = jax.tree.map(jnp.zeros_like, variables["batch_stats"])
    start = {**variables, "batch_stats": zeros}

    def of_path(path: Array) -> Any:
        _, changed = model.apply(start, images, path, True, mutable=["batch_stats"])
        # From 0, a running average holds this share of what the batch has.
        share = 1 - MOMENTUM
        found = changed.get("batch_stats", {})  # none without batch norms
        return jax.tree.map(lambda leaf: leaf / share, found)

    return jax.lax.map(of_path, paths)


def sums_of_paths(
    model: Network,
    variables: Variables,
    batch_stats: Any,
    batch: dict[str, Array],
    paths: Array,
) -> Sums:
    """`sums_of_batch` [N] of N paths, each with its own `path_statistics`."""

    def of_path(own: tuple[Any, Array]) -> Sums:
        statistics, path = own
        here = {**variables, "batch_stats": statistics}
        return sums_of_batch(model, here, batch, path)

    return jax.lax.map(of_path, (batch_stats, paths))
