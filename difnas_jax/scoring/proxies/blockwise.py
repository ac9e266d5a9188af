"""Scores of the blocks of a network one by one: those of AZ-NAS.

A block is a cell or a reduction of a space of cells, or a layer of a chain. Source: Lee
and Ham, "AZ-NAS: assembling zero-cost proxies for network architecture search", CVPR
2024. Trainability is a score of isometry: 0, its largest value, where the strongest
direction of a block passes gradients on as strong as they come, which is what DI-NAS
wants of its kernels by design.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models.network import Network
from difnas_jax.scoring.proxies.base import (
    Apply,
    Column,
    Observation,
    Proxy,
    Variables,
)

SEED = 0  # of the random cotangents, the same for all networks
SMALLEST = 1e-12


def separated(network: Network, block: int, outputs: Array) -> Array:
    """Record the outputs of a block, and cut the backward pass behind them.

    What is added instead, zeros of the collection `shifts`, gets the gradient of the
    next block alone. Both are [B, H, W, C].
    """
    name, layout = f"block_{block:03d}", network.map_layout
    network.sow("features", name, layout.channels_last(outputs), reduce_fn=_newest)
    cut = jax.lax.stop_gradient(outputs)
    if not network.has_variable("shifts", name):
        return cut
    return cut + layout.arrange(network.get_variable("shifts", name))


def _newest(_, new: Array) -> Array:
    return new


def observe(
    apply: Apply, variables: Variables, images: Array, labels: Array
) -> Observation:
    """Covariances of the channels of each block, and its response to random cotangents.

    Returns:
      Lists over blocks: `covariances` float32[C, C] and `responses` float32[C_in, C].
    """

    def features(shifts: dict[str, Array]) -> dict[str, Array]:
        _, found = apply({**variables, "shifts": shifts}, images, mutable=["features"])
        return found["features"]

    shapes = jax.eval_shape(lambda: features({}))
    shifts = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    outputs, backward = jax.vjp(features, shifts)
    names = sorted(outputs)
    keys = jax.random.split(jax.random.key(SEED), len(names))
    cotangents = {
        name: jax.random.rademacher(key, outputs[name].shape, outputs[name].dtype)
        for key, name in zip(keys, names, strict=True)
    }
    (gradients,) = backward(cotangents)
    return {
        "covariances": [_covariance(outputs[name]) for name in names],
        "responses": [
            _response(gradients[before], cotangents[after])
            for before, after in itertools.pairwise(names)
        ],
    }


def _covariance(outputs: Array) -> Array:
    """[B, H, W, C] -> [C, C]."""
    pixels = outputs.reshape(-1, outputs.shape[-1])
    centred = pixels - pixels.mean(0)
    return centred.T @ centred / len(pixels)


def _response(gradients: Array, cotangents: Array) -> Array:
    """Mean over pixels of the gradient at the input times the cotangent at the output.

    Args:
      gradients: [B, sH, sW, C_in]; the s x s pixels of an output pixel count as
        channels, those beyond an odd side as zeros.
      cotangents: [B, H, W, C].

    Returns:
      [s * s * C_in, C].
    """
    batch, height, width, channels = cotangents.shape
    side = -(-gradients.shape[1] // height)
    beyond = (0, side * height - gradients.shape[1])
    padded = jnp.pad(gradients, ((0, 0), beyond, beyond, (0, 0)))
    windows = padded.reshape(batch, height, side, width, side, -1)
    rows = windows.transpose(0, 1, 3, 2, 4, 5).reshape(batch * height * width, -1)
    return rows.T @ cotangents.reshape(-1, channels) / len(rows)


def conclude(observation: Observation) -> dict[str, float]:
    """The three scores."""
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(observation)):
        return dict.fromkeys(BLOCKWISE.columns, float("nan"))
    entropies = [_entropy(matrix) for matrix in observation["covariances"]]
    strongest = np.array(
        [np.linalg.norm(matrix, 2) for matrix in observation["responses"]]
    )
    strongest = np.maximum(strongest, SMALLEST)
    return {
        "expressivity": float(np.sum(entropies)),
        "progressivity": float(np.diff(entropies).min()),
        "trainability": float((2 - strongest - 1 / strongest).mean()),
    }


def _entropy(covariance: np.ndarray) -> float:
    """The entropy in nats of the eigenvalues as shares of their sum; 0 if all are 0."""
    eigenvalues = np.maximum(np.linalg.eigvalsh(covariance), 0)
    if not eigenvalues.any():
        return 0.0
    shares = eigenvalues / eigenvalues.sum()
    return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())


BLOCKWISE = Proxy(
    observe,
    conclude,
    columns={
        "expressivity": Column("sum over blocks of the entropy of their channels"),
        "progressivity": Column("smallest rise of that entropy to the next block"),
        "trainability": Column("isometry of blocks backward; 0 is the best"),
    },
    images="noise",
    batch=32,
    network="small",
    kernels="he_fan_in",
    cost="1 forward, 1 backward",
    options={"between": separated},
)
