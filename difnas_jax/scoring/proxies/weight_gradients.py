"""Scores from gradients by the weights: SynFlow, ZiCo and GradSign."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from difnas_jax.ops.normalization import EPSILON
from difnas_jax.scoring.proxies.base import (
    KERNELS,
    Apply,
    Column,
    Observation,
    Proxy,
    Variables,
    split_weights,
)


def rescaled(network: nn.Module, block: int, outputs: Array) -> Array:
    """Outputs of a block divided by their largest, whose logarithm is recorded.

    With positive weights and without batch norm a network is linear in positive inputs:
    its logits are those of the rescaled one times all factors, and so are gradients.
    Through tens of layers they would leave the range of float32.
    """
    largest = jax.lax.stop_gradient(jnp.abs(outputs).max())
    largest = jnp.where(largest > 0, largest, 1)
    network.sow("log_scales", f"block_{block}", jnp.log(largest))
    return outputs / largest


def observe_synflow(
    apply: Apply, variables: Variables, images: Array, labels: Array
) -> Observation:
    """Sum of weight times gradient over kernels and the logarithm of its factor.

    All weights are positive, batch norms pass their inputs on, and images are ones.
    """
    positive = {
        **jax.tree.map(jnp.abs, variables),
        "batch_stats": jax.tree_util.tree_map_with_path(
            lambda path, leaf: jnp.full_like(
                leaf, 1 - EPSILON if path[-1].key == "var" else 0
            ),
            variables["batch_stats"],
        ),
    }
    kernels, merged = split_weights(positive, KERNELS)

    def total(kernels: Any) -> tuple[Array, Any]:
        logits, found = apply(
            merged(kernels), images, train=False, mutable=["log_scales"]
        )
        return logits.sum(), found

    gradients, found = jax.grad(total, has_aux=True)(kernels)
    flow = sum((kernels[path] * gradients[path]).sum() for path in kernels)
    scales = sum(jax.tree.leaves(found))
    return {"flow": jnp.asarray(flow), "log_scale": jnp.asarray(scales)}


def synflow(observation: Observation) -> dict[str, float]:
    """The logarithm of the sum over kernels of weight times gradient.

    Source: Tanaka et al., "Pruning neural networks without any data by iteratively
    conserving synaptic flow", NeurIPS 2020; as a score Abdelfattah et al., ICLR 2021.
    In logarithms, as it grows beyond 1e60.
    """
    with np.errstate(divide="ignore"):
        flow = np.log(observation["flow"])
    return {"synflow": float(flow + observation["log_scale"])}


def _loss(apply: Apply, variables: Any, images: Array, labels: Array) -> Array:
    """Mean cross-entropy in nats."""
    logits = apply(variables, images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def observe_zico(
    apply: Apply, variables: Variables, images: Array, labels: Array
) -> Observation:
    """By kernel, the sum of mean |gradient| by its standard deviation over batches.

    Args:
      apply: the network.
      variables: its variables.
      images: float32[2, B, H, W, C].
      labels: int32[2, B].
    """
    kernels, merged = split_weights(variables, KERNELS)

    def of_batch(batch: tuple[Array, Array]) -> Any:
        return jax.grad(lambda k: _loss(apply, merged(k), *batch))(kernels)

    gradients = jax.lax.map(of_batch, (images, labels))
    return {"ratios": jnp.stack([_ratio(leaf) for leaf in gradients.values()])}


def _ratio(gradients: Array) -> Array:
    mean, deviation = jnp.abs(gradients).mean(0), gradients.std(0)
    varies = deviation > 0
    return jnp.where(varies, mean / jnp.where(varies, deviation, 1), 0).sum()


def zico(observation: Observation) -> dict[str, float]:
    """The sum over kernels of the logarithm of these ratios.

    Source: Li et al., "ZiCo: zero-shot NAS via inverse coefficient of variation on
    gradients", ICLR 2023; over two batches.
    """
    ratios = observation["ratios"]
    live = ratios[ratios > 0]
    return {"zico": float(np.log(live).sum()) if len(live) else float("-inf")}


def observe_gradsign(
    apply: Apply, variables: Variables, images: Array, labels: Array
) -> Observation:
    """Sum over kernels of |sum over images of the sign of the gradient|.

    Each image is a batch of its own, as in the release.
    """
    kernels, merged = split_weights(variables, KERNELS)

    def signs(example: tuple[Array, Array]) -> Any:
        image, label = example
        gradients = jax.grad(
            lambda k: _loss(apply, merged(k), image[None], label[None])
        )(kernels)
        return jax.tree.map(jnp.sign, gradients)

    sums = jax.tree.map(lambda leaf: leaf.sum(0), jax.lax.map(signs, (images, labels)))
    return {"agreement": sum(jnp.abs(leaf).sum() for leaf in jax.tree.leaves(sums))}


def gradsign(observation: Observation) -> dict[str, float]:
    """How far the signs of the gradients of images agree.

    Source: Zhang and Jia, "GradSign: model performance inference with theoretical
    insights", ICLR 2022.
    """
    return {"gradsign": float(observation["agreement"])}


SYNFLOW = Proxy(
    observe_synflow,
    synflow,
    columns={"synflow": Column("log of the sum of weight times gradient")},
    images="ones",
    batch=1,
    network="small",
    kernels="he_fan_in",
    cost="1 forward, 1 backward, of one image",
    batch_norm="none",
    options={"between": rescaled, "activation": "relu"},
)
ZICO = Proxy(
    observe_zico,
    zico,
    columns={"zico": Column("mean by deviation of gradients over two batches")},
    images="train_pair",
    batch=32,
    network="small",
    kernels="he_fan_in",
    cost="2 forward, 2 backward",
)
GRADSIGN = Proxy(
    observe_gradsign,
    gradsign,
    columns={"gradsign": Column("agreement of the signs of gradients")},
    images="train",
    batch=16,
    network="small",
    kernels="he_fan_in",
    cost="1 forward, 1 backward",
    batch_norm="of each image",
)
