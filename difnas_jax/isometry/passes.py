"""Signal, gradient and gamma gradients of a supernet along strictly fair paths.

Chains only: the cells of a network have no one order of depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from difnas_jax.models.blocks import INDICATOR_BATCH_NORMS
from difnas_jax.models.layers import ChoiceLayer, layer_name
from difnas_jax.models.network import Network
from difnas_jax.ops.layout import Layout
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.training.paths import stream, strict_fair

Maps = dict[str, Any]


class Passes(NamedTuple):
    """Measurements in D draws of K strictly fair paths; draw d has its own batch.

    Attributes:
      paths: int[D, K, L].
      square: second moment of the output of each layer, [D, K, L].
      variance: mean of the variances of its channels, [D, K, L].
      gradient: norm of the gradient of the loss with respect to it, [D, K, L].
      gamma: mean square, over the channels, of the gradient of the indicator batch norm
        of each op, [D, K, L, O]; NaN off the path and where there is none.
    """

    paths: np.ndarray
    square: np.ndarray
    variance: np.ndarray
    gradient: np.ndarray
    gamma: np.ndarray


Probe = Callable[[Any, dict[str, Any], Array], tuple[Array, ...]]


def make_probe(model: Network) -> Probe:
    """Build (variables, batch, path) -> the fields of `Passes` of one pass, compiled.

    Batch norms use the statistics of the batch, as in training, and the loss is the
    cross-entropy.
    """
    space, layout = model.space, model.map_layout

    def run(variables: Any, images: Array, path: Array, shifts: Maps):
        """Logits, and the outputs of the layers, each with its shift added."""
        maps: Maps = {}

        def watch(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            outputs, module = call(*args, **kwargs), context.module
            if isinstance(module, ChoiceLayer) and context.method_name == "__call__":
                name = str(module.name)
                maps[name] = outputs = outputs + shifts.get(name, 0.0)
            return outputs

        with nn.intercept_methods(watch):
            logits: Any = model.apply(variables, images, path, True)
        return logits, maps

    @jax.jit
    def probe(variables: Any, batch: dict[str, Any], path: Array):
        params = flax.traverse_util.flatten_dict(variables["params"])
        scales = {leaf: value for leaf, value in params.items() if _scores(leaf)}

        def loss(scales: Any, shifts: Maps):
            merged = flax.traverse_util.unflatten_dict({**params, **scales})
            logits, maps = run(
                {**variables, "params": merged}, batch["image"], path, shifts
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(
                logits, batch["label"]
            )
            return losses.mean(), maps

        shapes = jax.eval_shape(run, variables, batch["image"], path, {})[1]
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        gradients, maps = jax.grad(loss, (0, 1), has_aux=True)(scales, zeros)
        names = [layer_name(number) for number in range(space.num_layers)]
        return (
            jnp.stack([jnp.mean(maps[name] ** 2) for name in names]),
            jnp.stack([_variance(maps[name], layout) for name in names]),
            jnp.stack([jnp.linalg.norm(gradients[1][name].ravel()) for name in names]),
            _by_op(gradients[0], space),
        )

    return probe


def _scores(leaf: tuple[str, ...]) -> bool:
    return leaf[-1] == "scale" and leaf[-2] in INDICATOR_BATCH_NORMS


def _variance(outputs: Array, layout: Layout) -> Array:
    return jnp.var(outputs, layout.others).mean()


def _by_op(gradients: dict[tuple[str, ...], Array], space: SearchSpace) -> Array:
    """Mean square of the gradients of each (layer, op), NaN where there is none."""
    table = jnp.full((space.num_layers, space.num_ops), jnp.nan)
    positions: dict[tuple[str, ...], tuple[int, int]] = {
        (layer_name(number), op.name): (number, index)
        for number in range(space.num_layers)
        for index, op in enumerate(space.ops)
    }
    for leaf, gradient in gradients.items():
        position = positions.get(leaf[:2])
        if position:  # fixed blocks have none
            table = table.at[position].set(jnp.mean(gradient**2))
    return table


def passes(
    probe: Probe,
    model: Network,
    variables: Any,
    batches: Iterable[dict[str, Any]],
    seed: int,
) -> Passes:
    """Measure batches along strictly fair paths.

    Args:
      probe: of the model.
      model: the supernet.
      variables: its values.
      batches: D of them, `image` and `label`.
      seed: of the paths.
    """
    sampler = jax.jit(strict_fair(model.space))
    paths, found = [], []
    for draw, batch in enumerate(batches):
        paths.append(sampler(stream(seed, "isometry", draw)))
        values = [probe(variables, batch, path) for path in paths[-1]]
        found.append([np.stack(field) for field in zip(*values, strict=True)])
    square, variance, gradient, gamma = map(np.stack, zip(*found, strict=True))
    all_paths = np.stack(paths)
    used = all_paths[..., None] == np.arange(model.space.num_ops)
    for layer in model.parallel_identity:  # on whatever path
        used[..., layer, model.space.identity] = True
    gamma = np.where(used, gamma, np.nan)
    return Passes(all_paths, square, variance, gradient, gamma)
