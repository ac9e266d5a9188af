"""Exact evaluation: every example of a split counts once."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from numpy.typing import ArrayLike

from difnas_jax.data import (
    Examples,
    Loader,
    Normalizer,
    TrainBatches,
    evaluation_batches,
)
from difnas_jax.models.supernet import Network
from difnas_jax.runtime.mesh import own_rows, shard_batch
from difnas_jax.runtime.processes import check_same_arrays
from difnas_jax.training.eval_steps import (
    Sums,
    make_paths_eval_step,
    make_statistics_step,
)

# Paths that one call of a compiled program evaluates.
TOGETHER = 10


def evaluate(
    eval_step: Callable[[dict[str, Any], dict[str, Array], Any], Sums],
    variables: dict[str, Any],
    split: Examples,
    path: ArrayLike,
    *,
    batch_size: int,
    normalizer: Normalizer,
    mesh: Mesh,
) -> dict[str, float]:
    """Accuracy and loss on a split.

    Args:
      eval_step: the compiled step of `eval_steps.make_eval_step`.
      variables: of the network, running statistics included.
      split: the examples.
      path: int[L].
      batch_size: a multiple of the devices; the last batch is padded and masked.
      normalizer: applied to the images.
      mesh: devices over which batches are split.

    Returns:
      `accuracy` (0 to 1), `loss` (mean cross-entropy) and `examples`.
    """
    totals = {"correct": 0.0, "loss": 0.0, "examples": 0.0}
    # numpy, since an array of one device is none of a program on several hosts.
    ops, rows = np.asarray(path, np.int32), own_rows(batch_size, mesh)
    for batch in evaluation_batches(split, batch_size, normalizer, rows):
        sums = eval_step(variables, shard_batch(batch, mesh), ops)
        totals = {name: total + float(sums[name]) for name, total in totals.items()}
    examples = totals["examples"]
    return {
        "accuracy": totals["correct"] / examples,
        "loss": totals["loss"] / examples,
        "examples": examples,
    }


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
        for start in range(0, len(paths), TOGETHER):
            part = paths[start : start + TOGETHER]
            # One program serves every call: the last one repeats a path.
            padded = np.pad(part, ((0, TOGETHER - len(part)), (0, 0)), mode="edge")
            together = padded.astype(np.int32)
            values = self._measured(self._recalibrated(together), together)
            accuracies.append(values[: len(part)])
        return np.concatenate([np.zeros(0), *accuracies])

    @functools.cached_property
    def _statistics_step(self) -> Any:
        return jax.jit(make_statistics_step(self.model))

    @functools.cached_property
    def _eval_step(self) -> Any:
        return jax.jit(make_paths_eval_step(self.model))

    @property
    def _rows(self) -> slice:
        return own_rows(self.recalibration.batch_size, self.mesh)

    def _recalibrated(self, paths: np.ndarray) -> Any:
        """The mean of the statistics over the training batches."""
        total = None
        count = self.recalibration_batches
        recalibration = dataclasses.replace(self.recalibration, rows=self._rows)
        with Loader(recalibration, range(count)) as batches:
            for batch in batches:
                images = shard_batch(batch["image"], self.mesh)
                found = self._statistics_step(self.variables, images, paths)
                total = found if total is None else jax.tree.map(jnp.add, total, found)
                # One batch at a time: those that wait would fill the memory, and
                # virtual devices that meet several programs' collectives may wait for
                # ever.
                jax.block_until_ready(total)
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
