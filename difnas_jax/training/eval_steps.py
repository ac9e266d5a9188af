"""The evaluation steps: pure functions, compiled once for every path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax
from jax import Array

from difnas_jax.models.supernet import Network

Sums = dict[str, Array]
Variables = dict[str, Any]


def make_eval_step(
    model: Network,
) -> Callable[[Variables, dict[str, Array], Array], Sums]:
    """Build `eval_step(variables, batch, path) -> sums` with running statistics.

    Returns:
      The step, not yet compiled. Sums over the unmasked examples of the batch:
      `correct`, `loss` (cross-entropy without smoothing) and `examples`.
    """

    def eval_step(variables: Variables, batch: dict[str, Array], path: Array) -> Sums:
        logits: Any = model.apply(variables, batch["image"], path, False)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        correct = logits.argmax(-1) == batch["label"]
        return {
            "correct": (correct * batch["mask"]).sum(),
            "loss": (losses * batch["mask"]).sum(),
            "examples": batch["mask"].sum(),
        }

    return eval_step
