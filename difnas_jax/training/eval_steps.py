"""The evaluation steps: pure functions, compiled once for every path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from difnas_jax.models.batchnorm import MOMENTUM
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


def make_statistics_step(
    model: Network,
) -> Callable[[Variables, Array, Array], Any]:
    """Build `statistics_step(variables, images, paths) -> batch_stats` of each path.

    Returns:
      The step, not yet compiled. For paths int32[N, L], the collection `batch_stats`
      with a first dimension N: mean and biased variance of every batch norm that a
      path passes, over these images; 0 elsewhere.
    """

    def of_path(variables: Variables, images: Array, path: Array) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, variables["batch_stats"])
        variables = {**variables, "batch_stats": zeros}
        changed: Any = model.apply(
            variables, images, path, True, mutable=["batch_stats"]
        )[1]
        # From 0, a running average holds this share of what the batch has.
        share = 1 - MOMENTUM
        return jax.tree.map(lambda leaf: leaf / share, changed["batch_stats"])

    def statistics_step(variables: Variables, images: Array, paths: Array) -> Any:
        return jax.lax.map(lambda path: of_path(variables, images, path), paths)

    return statistics_step


def make_paths_eval_step(
    model: Network,
) -> Callable[[Variables, Any, dict[str, Array], Array], Sums]:
    """Build `step(variables, batch_stats, batch, paths) -> sums` of each path.

    Returns:
      The step, not yet compiled. As `make_eval_step` for N paths, each with its own
      statistics from `make_statistics_step`; sums have shape [N].
    """
    eval_step = make_eval_step(model)

    def step(
        variables: Variables, batch_stats: Any, batch: dict[str, Array], paths: Array
    ) -> Sums:
        def of_path(own: tuple[Any, Array]) -> Sums:
            statistics, path = own
            return eval_step({**variables, "batch_stats": statistics}, batch, path)

        return jax.lax.map(of_path, (batch_stats, paths))

    return step
