"""Exact evaluation: every example counts once."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh
from numpy.typing import ArrayLike

from difnas_jax.data import Examples, Normalizer, evaluation_batches, spread_over
from difnas_jax.data.base import Dataset
from difnas_jax.models.network import Network
from difnas_jax.runtime.mesh import own_rows, shard_batch
from difnas_jax.runtime.progress import working

Sums = dict[str, Array]
Variables = dict[str, Any]
Batch = dict[str, Any]
EvalStep = Callable[[Any, Batch, Any], Sums]
# Top-5 accuracy says little where there are not twice as many classes.
TOP, LEAST_CLASSES = 5, 10


def sums_of_batch(
    model: Network, variables: Variables, batch: dict[str, Array], path: Array
) -> Sums:
    """Evaluate a path on a batch, with running statistics; a pure function.

    Returns:
      The sums of `sums_of_logits`.
    """
    logits: Any = model.apply(variables, batch["image"], path, False)
    return sums_of_logits(logits, batch["label"], batch["mask"])


def sums_and_labels(
    model: Network, variables: Variables, batch: dict[str, Array], path: Array
) -> Sums:
    """`sums_of_batch`, and `labels`: float[C], how many examples each class has."""
    sums = sums_of_batch(model, variables, batch, path)
    return {**sums, "labels": _of_each_class(model, batch)}


def sums_of_path(
    model: Network, variables: Variables, batch: dict[str, Array], path: Array
) -> Sums:
    """Evaluate a path of a supernet on a batch, with its statistics; a pure function.

    A supernet keeps no running statistics.

    Returns:
      The sums of `sums_of_logits`.
    """
    logits: Any = model.apply(variables, batch["image"], path, True)
    return sums_of_logits(logits, batch["label"], batch["mask"])


def sums_by_path(
    model: Network, variables: Variables, batch: dict[str, Array], paths: Array
) -> Sums:
    """`sums_of_path` over several paths; a pure function.

    Args:
      model: the supernet.
      variables: of the supernet.
      batch: images, labels and their mask.
      paths: int32[K, L].

    Returns:
      The sums of `sums_of_logits`, [K] of each.
    """
    of_path = functools.partial(sums_of_path, model, variables, batch)
    return jax.lax.map(of_path, paths)


def sums_over_paths(
    model: Network, variables: Variables, batch: dict[str, Array], paths: Array
) -> Sums:
    """`sums_by_path`, summed over the paths.

    Returns:
      They and `labels`, float[C], how many examples each class has.
    """
    by_path = sums_by_path(model, variables, batch, paths)
    sums = jax.tree.map(lambda leaf: leaf.sum(0), by_path)
    return {**sums, "labels": _of_each_class(model, batch)}


def _of_each_class(model: Network, batch: dict[str, Array]) -> Array:
    """float[C]: how many examples of a batch each class has."""
    return batch["mask"] @ jax.nn.one_hot(batch["label"], model.space.num_classes)


def chance(sums: Mapping[str, np.ndarray]) -> float:
    """The accuracy of a constant answer, the largest class, by its `labels`."""
    return float(sums["labels"].max() / sums["labels"].sum())


def sums_of_logits(logits: Array, labels: Array, mask: Array) -> Sums:
    """Compare logits with labels; a pure function.

    Of equal logits the first counts as the larger one.

    Args:
      logits: float[B, C].
      labels: int[B].
      mask: float[B], 1 for the examples that count, else 0.

    Returns:
      Sums over the examples that count: `correct`, `loss` (cross-entropy without
      smoothing), `examples` and, of 10 classes or more, `correct_top5` (the label is
      among the five largest logits).
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    sums = {
        "correct": ((logits.argmax(-1) == labels) * mask).sum(),
        "loss": (losses * mask).sum(),
        "examples": mask.sum(),
    }
    if logits.shape[-1] >= LEAST_CLASSES:
        largest = jax.lax.top_k(logits, TOP)[1]  # [B, C] -> [B, 5]
        among = (largest == labels[:, None]).any(-1)
        sums["correct_top5"] = (among * mask).sum()
    return sums


def sums_of_examples(
    eval_step: EvalStep,
    variables: Any,
    examples: Examples,
    path: ArrayLike,
    batch_size: int,
    normalizer: Normalizer,
    mesh: Mesh,
) -> dict[str, np.ndarray]:
    """The sums of `eval_step` over all batches of some examples.

    Args:
      eval_step: `sums_of_batch`, `sums_over_paths` or the like of a model, compiled.
      variables: what it takes as such.
      examples: what to evaluate.
      path: int[L], or int[K, L] for several.
      batch_size: a multiple of the devices.
      normalizer: applied to the images.
      mesh: devices over which batches are split.
    """
    rows = own_rows(batch_size, mesh)
    batches = evaluation_batches(examples, batch_size, normalizer, rows)
    return sums_of_batches(eval_step, variables, batches, path, mesh)


@working("evaluating")
def sums_of_batches(
    eval_step: EvalStep,
    variables: Variables,
    batches: Iterable[Batch],
    path: ArrayLike,
    mesh: Mesh,
) -> dict[str, np.ndarray]:
    """The sums of `eval_step` over batches, of which each process has its own rows."""
    totals: dict[str, Any] = {}
    # numpy, since an array of one device is none of a program on several hosts.
    ops = np.asarray(path, np.int32)
    for batch in batches:
        sums = eval_step(variables, shard_batch(batch, mesh), ops)
        for name, value in sums.items():
            totals[name] = totals.get(name, 0.0) + np.asarray(value, np.float64)
    return totals


def examples_of(dataset: Dataset[Examples], most: int) -> tuple[str, Examples]:
    """What tells how well a supernet does.

    Args:
      dataset: the splits.
      most: how many examples at the most, evenly spaced.

    Returns:
      Name and examples of the validation split, or of the training split where nothing
      is held out.
    """
    if dataset.validation is None:
        return "train", spread_over(dataset.train, most)
    return "validation", spread_over(dataset.validation, most)


def means(sums: Mapping[str, np.ndarray]) -> dict[str, float]:
    """What `sums_of_examples` sums, for each example.

    Returns:
      `accuracy` (0 to 1), `loss` (mean cross-entropy), `examples` and, of 10 classes or
      more, `top5_accuracy`.
    """
    count = float(sums["examples"])
    names = {"correct": "accuracy", "loss": "loss", "correct_top5": "top5_accuracy"}
    found = {names[name]: float(sums[name]) / count for name in names if name in sums}
    return {**found, "examples": count}
