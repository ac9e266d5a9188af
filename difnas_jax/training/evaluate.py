"""Exact evaluation: every example of a split counts once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import Array
from jax.sharding import Mesh
from numpy.typing import ArrayLike

from difnas_jax.data import Examples, Normalizer, evaluation_batches
from difnas_jax.runtime.mesh import own_rows, shard_batch
from difnas_jax.training.eval_steps import Sums


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
