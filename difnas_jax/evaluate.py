"""Exact evaluation: every example of a split counts once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from difnas_jax.data import Normalizer, Split, evaluation_batches
from difnas_jax.distributed import shard_batch
from difnas_jax.steps import Metrics


def evaluate(
    eval_step: Callable[[dict[str, Any], dict[str, Array], Array], Metrics],
    variables: dict[str, Any],
    split: Split,
    path: Array,
    *,
    batch_size: int,
    normalizer: Normalizer,
    mesh: Mesh,
) -> dict[str, float]:
    """Accuracy and loss on a split.

    Args:
      eval_step: the compiled step of `steps.make_eval_step`.
      variables: of the network, running statistics included.
      split: the examples.
      path: int32[L].
      batch_size: a multiple of the devices; the last batch is padded and masked.
      normalizer: applied to the images.
      mesh: devices over which batches are split.

    Returns:
      `accuracy` (0 to 1), `loss` (mean cross-entropy) and `examples`.
    """
    totals = {"correct": 0.0, "loss": 0.0, "examples": 0.0}
    for batch in evaluation_batches(split, batch_size, normalizer):
        sums = eval_step(variables, shard_batch(batch, mesh), jnp.asarray(path))
        totals = {name: total + float(sums[name]) for name, total in totals.items()}
    examples = totals["examples"]
    return {
        "accuracy": totals["correct"] / examples,
        "loss": totals["loss"] / examples,
        "examples": examples,
    }
