"""Scores from gammas and their gradients that were tried and are not in the package.

Each maps the last batch norm of every candidate, with its gradients, to float64[L, O],
where higher is better. Gradients are those of strictly fair updates after training.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.scoring.indicators import Evidence, gamma, raw_gammas
from difnas_jax.scoring.trained_supernet import TrainedSupernet
from difnas_jax.training import optim
from difnas_jax.training.fates import merge, split
from difnas_jax.training.paths import stream, strict_fair
from difnas_jax.training.recipe import Recipe
from difnas_jax.training.steps import create_state, make_train_step

UPDATES = 40  # whose gradients are averaged


@dataclasses.dataclass(frozen=True)
class Scales:
    """The last batch norm of every candidate that has one.

    Attributes:
      evidence: of the supernet.
      gammas: float32[C] by `<layer>/<op>`.
      gradients: float32[U, C] by the same, of the loss of the one path through the op.
    """

    evidence: Evidence
    gammas: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]

    def table(self, value: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
        """float64[L, O] of value(gamma [C], gradients [U, C]); 0 without batch norm."""
        space = self.evidence.space
        result = np.zeros((space.num_layers, space.num_ops))
        for name, scales in self.gammas.items():
            layer, op = name.split("/")
            column = [one.name for one in space.ops].index(op)
            row = int(layer.removeprefix("layer_"))
            result[row, column] = value(scales, self.gradients[name])
        return result


def read_scales(
    config: ConfigDict, trained: TrainedSupernet, evidence: Evidence
) -> Scales:
    """Gammas of a trained supernet, and gradients on training batches that follow."""
    images = data.load(config).train
    batches = data.TrainBatches.of(config, images, config.supernet.batch_size)
    recipe = Recipe(
        settings=ConfigDict({**config.supernet, "label_smoothing": 0.0}),
        seed=config.seed,
        trainable="indicator",
        train_classifier=False,
        batch_sharing="same",
        placement="batch",
        paths_at_once=1,
        fair=True,
        memory="nothing",
        update="plain",
        method=config.method,
    )
    # Whatever trained before: now the indicators alone do.
    variables = merge(trained.variables)
    variables = split(variables, recipe.fates(variables["params"]))
    # One step of plain descent at rate 1 moves every trained leaf by its gradient.
    packing = optim.Packing.of(recipe.fates(variables["params"]))
    descent = optim.masked(optax.sgd(1.0))
    state = create_state(variables, descent, packing, memory={})
    projection = recipe.projection(packing, total=1)
    step = jax.jit(make_train_step(trained.model, descent, projection, recipe))
    sampler = strict_fair(evidence.space)
    found = []
    for number in range(trained.step, trained.step + UPDATES):
        chosen = sampler(stream(config.seed, "ideas", number))
        moved, _ = step(state, jax.tree.map(jnp.asarray, batches[number]), chosen)
        after = moved.variables["params"]
        params = jax.tree.map(np.subtract, variables["params"], after)
        found.append(raw_gammas(dataclasses.replace(evidence, params=params)))
    gammas = raw_gammas(evidence)
    gradients = {name: np.stack([one[name] for one in found]) for name in gammas}
    return Scales(evidence, gammas, gradients)


def first_order(scales: Scales) -> np.ndarray:
    """Mean |gamma dL/dgamma|: what switching a channel off would cost."""
    return scales.table(lambda g, gradients: float(np.abs(g * gradients).mean()))


def block_first_order(scales: Scales) -> np.ndarray:
    """Mean of -(gamma . dL/dgamma): what switching the block off would cost."""
    return scales.table(lambda g, gradients: -float((gradients @ g).mean()))


def depth_corrected(scales: Scales) -> np.ndarray:
    """First-order importance over the root mean square of the layer's gradients."""
    squares = scales.table(lambda g, gradients: float((gradients**2).mean()))
    layer = np.sqrt(squares.sum(1, keepdims=True) / (squares > 0).sum(1, keepdims=True))
    return first_order(scales) / layer


def gradient_size(scales: Scales) -> np.ndarray:
    """Root mean square of dL/dgamma."""
    return scales.table(lambda g, gradients: float(np.sqrt((gradients**2).mean())))


def standardised(scales: Scales) -> np.ndarray:
    """Mean |gamma| less the layer's mean, over the layer's standard deviation."""
    table = gamma(scales.evidence)
    centred = table - np.nanmean(table, axis=1, keepdims=True)
    spread = np.nanstd(table, axis=1, keepdims=True)
    return np.nan_to_num(centred / np.where(spread > 0, spread, 1.0))


def change(scales: Scales) -> np.ndarray:
    """Mean |gamma - 1|: how far training moved the scales."""
    return scales.table(lambda g, gradients: float(np.abs(g - 1).mean()))


IDEAS: dict[str, Callable[[Scales], np.ndarray]] = {
    "first order": first_order,
    "first order of blocks": block_first_order,
    "first order, depth corrected": depth_corrected,
    "gradient size": gradient_size,
    "gamma standardised": standardised,
    "gamma change": change,
}


def idea_tables(
    config: ConfigDict, trained: TrainedSupernet, evidence: Evidence
) -> dict[str, np.ndarray]:
    """float64[L, O] of each of `IDEAS`."""
    scales = read_scales(config, trained, evidence)
    return {name: idea(scales) for name, idea in IDEAS.items()}
