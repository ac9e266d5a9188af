"""Exact evaluation: every example counts once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh
from numpy.typing import ArrayLike

from difnas_jax.data import Examples, Normalizer, evaluation_batches
from difnas_jax.models.networks import Network
from difnas_jax.runtime.mesh import own_rows, shard_batch

Sums = dict[str, Array]
Variables = dict[str, Any]


def sums_of_batch(
    model: Network, variables: Variables, batch: dict[str, Array], path: Array
) -> Sums:
    """Evaluate a path on a batch, with running statistics; a pure function.

    Returns:
      Sums over the unmasked examples of the batch: `correct`, `loss` (cross-entropy
      without smoothing) and `examples`.
    """
    logits: Any = model.apply(variables, batch["image"], path, False)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    correct, mask = logits.argmax(-1) == batch["label"], batch["mask"]
    return {
        "correct": (correct * mask).sum(),
        "loss": (losses * mask).sum(),
        "examples": mask.sum(),
    }


def evaluate(
    eval_step: Callable[[Variables, dict[str, Array], Any], Sums],
    variables: Variables,
    examples: Examples,
    path: ArrayLike,
    batch_size: int,
    normalizer: Normalizer,
    mesh: Mesh,
) -> dict[str, float]:
    """Accuracy and loss on some examples.

    Args:
      eval_step: `sums_of_batch` of a model, compiled.
      variables: of the network, running statistics included.
      examples: what to evaluate.
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
    for batch in evaluation_batches(examples, batch_size, normalizer, rows):
        sums = eval_step(variables, shard_batch(batch, mesh), ops)
        totals = {name: total + float(sums[name]) for name, total in totals.items()}
    count = totals["examples"]
    accuracy, loss = totals["correct"] / count, totals["loss"] / count
    return {"accuracy": accuracy, "loss": loss, "examples": count}
