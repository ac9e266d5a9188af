"""Scores from the gradients of the logits by the images: Jacov and EPE-NAS."""

import jax
import numpy as np
from jax import Array

from difnas_jax.scoring.proxies.base import (
    Apply,
    Column,
    Observation,
    Proxy,
    Variables,
)

OFFSET = 1e-5


def observe(
    apply: Apply, variables: Variables, images: Array, labels: Array
) -> Observation:
    """The gradient of the sum of all logits by each image, float32[B, H * W * C]."""
    gradients = jax.grad(lambda images: apply(variables, images).sum())(images)
    return {"gradients": gradients.reshape(len(images), -1), "labels": labels}


def conclude(observation: Observation) -> dict[str, float]:
    """Both scores from the correlations between the gradients of the images.

    Sources: Mellor et al., "Neural architecture search without training", version 1
    (arXiv 2006.04647), for `jacov`; Lopes et al., "EPE-NAS", ICANN 2021.
    """
    gradients, labels = observation["gradients"], observation["labels"]
    centred = gradients - gradients.mean(1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not norms.all():
        return dict.fromkeys(JACOV.columns, float("nan"))
    unit = centred / norms
    correlations = unit @ unit.T
    eigenvalues = np.maximum(np.linalg.eigvalsh(correlations), 0) + OFFSET
    jacov = -float((np.log(eigenvalues) + 1 / eigenvalues).sum())
    return {"jacov": jacov, "epe_nas": _within_classes(correlations, labels)}


def _within_classes(correlations: np.ndarray, labels: np.ndarray) -> float:
    """The sum over classes of |sum of log(|correlation| + 1e-5)| inside of one.

    For data of more than 100 classes EPE-NAS takes other sums. A batch here has at most
    32 classes, and one formula serves all.
    """
    logs = np.log(np.abs(correlations) + OFFSET)
    sums = [
        logs[np.ix_(labels == label, labels == label)].sum()
        for label in np.unique(labels)
    ]
    return float(np.abs(sums).sum())


JACOV = Proxy(
    observe,
    conclude,
    columns={
        "jacov": Column("independence of the input gradients of images"),
        "epe_nas": Column("the same inside of classes"),
    },
    images="train",
    batch=32,
    network="small",
    kernels="he_fan_in",
    cost="1 forward, 1 backward",
)
