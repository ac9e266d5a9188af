"""Scores from the neural tangent kernel of the initial network, all from one Jacobian.

Theta = J J', where row i of J is the gradient of the sum of the logits of image i by
all weights, biases left out. Batch norm uses the statistics of the batch, through which
the gradients pass: the row of an image has entries of all images. A dead network, whose
Jacobian is zero, has no score.

Sources: TE-NAS (arXiv 2102.11535, sections 3.1 and 3.2, and its release) for the
condition number; TEG-NAS (arXiv 2108.11939, release) for the regression error; KNAS
(ICML 2021) for the mean; EigenNAS (arXiv 2209.07238) for the minimum eigenvalue.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models.dense import DenseNetwork
from difnas_jax.models.network import Network
from difnas_jax.scoring.proxies import dense_kernel
from difnas_jax.scoring.proxies.base import (
    Apply,
    Column,
    Features,
    Observation,
    Proxy,
    Variables,
    kernel,
    split_weights,
)

# Of searchable layers and reductions: not stem, head, last batch norm and classifier.
CELLS = ("layer_", "reduction_")


def jacobian(
    apply: Apply, variables: Variables, images: Array, at_once: int
) -> dict[tuple[str, ...], Array]:
    """The gradients of the sum of the logits of each image.

    One forward pass serves all images; backward there is one pass for each of them.

    Args:
      apply: the network.
      variables: its variables.
      images: float32[B, H, W, C].
      at_once: how many backward passes run side by side; it changes no result.

    Returns:
      float32[B, size] by path of the weight.
    """
    weights, merged = split_weights(variables)

    def logit_sums(weights: Any) -> Array:
        return apply(merged(weights), images).sum(-1)

    sums, backward = jax.vjp(logit_sums, weights)
    rows = jax.lax.map(
        lambda cotangent: backward(cotangent)[0],
        jnp.eye(len(sums)),
        batch_size=at_once,
    )
    return {path: leaf.reshape(len(sums), -1) for path, leaf in rows.items()}


def observe(
    apply: Apply, variables: Variables, images: Array, labels: Array
) -> Observation:
    """What the kernels of training images and of held-out ones are made of.

    Args:
      apply: the network.
      variables: its variables.
      images: float32[2, B, H, W, C], training images and held-out ones.
      labels: int32[2, B].

    Returns:
      `labels`; `cells` and `others`, each of training and of held-out images.
    """
    features = FEATURES.get(type(apply.model), rows_of_jacobian)
    batches = [features(apply, variables, batch) for batch in (images[0], images[1])]
    cells, others = zip(*batches, strict=True)
    return {"labels": labels, "cells": cells, "others": others}


def rows_of_jacobian(
    apply: Apply, variables: Variables, images: Array
) -> tuple[Features, Features]:
    """The features of the weights of cells, and of the others."""
    # Backward passes side by side fill a GPU; on a CPU, one after another stays in its
    # cache.
    at_once = 1 if jax.default_backend() == "cpu" else len(images)
    rows = jacobian(apply, variables, images, at_once)
    cells = [(leaf,) for path, leaf in rows.items() if path[1].startswith(CELLS)]
    others = [(leaf,) for path, leaf in rows.items() if not path[1].startswith(CELLS)]
    return cells, others


def conclude(observation: Observation) -> dict[str, float]:
    """The columns of `NTK`."""
    train_labels, held_out_labels = observation["labels"]
    (own, held_out), (others, _) = observation["cells"], observation["others"]
    cells = kernel(own, own)
    theta = cells + kernel(others, others)
    values = dict.fromkeys(NTK.columns, np.nan)
    if not np.isfinite(theta).all() or not theta.any():
        return values
    eigenvalues = np.maximum(np.linalg.eigvalsh(theta), 0)
    values |= {
        "ntk_trace": float(np.trace(theta)),
        "ntk_mean": float(theta.mean()),
        "ntk_min_eigenvalue": float(eigenvalues[0]),
    }
    if eigenvalues[0] == 0:
        return values
    targets = centred_targets(train_labels)
    values |= {
        "ntk_condition": float(eigenvalues[-1] / eigenvalues[0]),
        "ntk_log_det": float(np.log(eigenvalues).sum()),
        "ntk_label_energy": float((targets * np.linalg.solve(theta, targets)).sum()),
    }
    across = kernel(held_out, own)
    error = regression_error(cells, across, train_labels, held_out_labels)
    return values | {"regression_error": error}


def regression_error(
    theta: np.ndarray,
    across: np.ndarray,
    train_labels: np.ndarray,
    held_out_labels: np.ndarray,
) -> float:
    """The error of kernel regression from training images to held-out ones.

    The mean over held-out images of the squared distance between the one-hot target,
    centred by the mean of its batch, and Theta_yx Theta_xx^-1 of those of the training
    images, without a ridge.

    Args:
      theta: float64[B, B], the kernel of the training images by the weights of cells.
      across: float64[B, B], that of held-out images with training ones.
      train_labels: int[B].
      held_out_labels: int[B].
    """
    classes = 1 + int(max(train_labels.max(), held_out_labels.max()))
    targets, expected = (
        centred_targets(labels, classes) for labels in (train_labels, held_out_labels)
    )
    try:
        predicted = across @ np.linalg.solve(theta, targets)
    except np.linalg.LinAlgError:
        return float("nan")
    return float(((predicted - expected) ** 2).sum(1).mean())


def centred_targets(labels: np.ndarray, classes: int | None = None) -> np.ndarray:
    """float64[B, classes]: one-hot targets less their mean over the batch."""
    count = 1 + int(labels.max()) if classes is None else classes
    targets = np.eye(count)[labels]
    return targets - targets.mean(0)


# Networks whose weights act on vectors need no Jacobian.
FEATURES: dict[type[Network], Callable[..., tuple[Features, Features]]] = {
    DenseNetwork: dense_kernel.features
}

NTK = Proxy(
    observe,
    conclude,
    columns={
        "ntk_condition": Column("largest by smallest eigenvalue of the NTK", False),
        "ntk_min_eigenvalue": Column("smallest eigenvalue of the NTK"),
        "ntk_trace": Column("trace of the NTK"),
        "ntk_mean": Column("mean entry of the NTK"),
        "ntk_log_det": Column("log determinant of the NTK"),
        "ntk_label_energy": Column("Y' NTK^-1 Y of centred one-hot targets", False),
        "regression_error": Column("error of NTK regression on held-out images", False),
    },
    images="train_and_held_out",
    batch=64,
    network="narrow",
    kernels="he_fan_out",
    cost="2 forward, 2 B backward",
)
