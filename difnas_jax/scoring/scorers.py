"""How a search scores architectures: by the indicator, or by the supernet itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.runtime import artifacts
from difnas_jax.runtime.artifacts import Indicator
from difnas_jax.runtime.mesh import data_mesh, replicate
from difnas_jax.scoring.trained import trained_supernet
from difnas_jax.search.additive import ADDITIVE_RULES, sum_along_paths
from difnas_jax.search.candidates import SCORE
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.training.evaluate import PathAccuracy


@dataclasses.dataclass(frozen=True)
class Scorer:
    """How a search scores architectures.

    Attributes:
      score: int64[N, L] -> columns float64[N] by name, `score` among them, higher is
        better; NaN where there is no score.
      table: float64[L, O] whose sum along an architecture is its score; None where the
        score is not additive.
      images: that pass through the network for the score of one architecture.
    """

    score: Callable[[np.ndarray], dict[str, np.ndarray]]
    table: np.ndarray | None
    images: int


def table_scorer(config: ConfigDict, workdir: Path, space: SearchSpace) -> Scorer:
    """Sums what the indicator says of each op, by a rule of `ADDITIVE_RULES`."""
    indicator = Indicator.load(workdir / artifacts.INDICATOR, space)
    table = ADDITIVE_RULES[config.method.score](indicator.table, space)
    return Scorer(lambda paths: {SCORE: sum_along_paths(table, paths)}, table, images=0)


def accuracy_scorer(config: ConfigDict, workdir: Path, space: SearchSpace) -> Scorer:
    """Validation accuracy of the path after recalibration (SPOS, FairNAS)."""
    trained = trained_supernet(config, workdir)
    dataset, mesh, search = data.load(config), data_mesh(), config.search
    normalizer = data.Normalizer.of(config, dataset.train)
    shapes = variable_shapes(trained.model)["batch_stats"]
    statistics = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    variables = {**trained.variables, "batch_stats": statistics}
    accuracy = PathAccuracy(
        trained.model,
        replicate(variables, mesh),
        data.TrainBatches.of(
            config, dataset.train, normalizer, search.recalibration_batch_size
        ),
        search.recalibration_batches,
        dataset.validation,
        mesh,
    )
    return Scorer(lambda paths: {SCORE: accuracy(paths)}, None, accuracy.images)


SCORERS: dict[str, Callable[[ConfigDict, Path, SearchSpace], Scorer]] = {
    **{name: table_scorer for name in ADDITIVE_RULES},
    "accuracy": accuracy_scorer,
}


def is_additive(config: ConfigDict) -> bool:
    """Whether the score is a sum over a table, and needs no image in the search."""
    return config.method.score in ADDITIVE_RULES
