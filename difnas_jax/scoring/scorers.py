"""How a search scores architectures: by the indicator, or by the supernet itself."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from difnas_jax.config.build import build_wiring
from difnas_jax.config.stages import STAGES, Stage, retrain_stage, search_stage
from difnas_jax.runtime import artifacts
from difnas_jax.runtime.artifacts import Indicator
from difnas_jax.scoring.accuracy import path_accuracy
from difnas_jax.search.additive import ADDITIVE_RULES, score_table, sum_along_paths
from difnas_jax.search.candidates import SCORE
from difnas_jax.spaces.base import SearchSpace


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
    table: np.ndarray | None = None
    images: int = 0


class ScorerRow(NamedTuple):
    """One way to score.

    Attributes:
      build: (config, workdir, searched space) -> scorer.
      needs: keys of `config.stages.NEEDS`; which stages must run before the search, and
        what it reads, follow from them.
      additive: whether the score is a sum over layers, which has an exact optimum.
    """

    build: Callable[[ConfigDict, Path, SearchSpace], Scorer]
    needs: frozenset[str]
    additive: bool = False


def additive_scorer(config: ConfigDict, workdir: Path, space: SearchSpace) -> Scorer:
    """Sums what the indicator says of each op, by a rule of `ADDITIVE_RULES`."""
    indicator = Indicator.load(workdir / artifacts.INDICATOR, space)
    table = table_of(config, indicator.table)
    return Scorer(lambda paths: {SCORE: sum_along_paths(table, paths)}, table)


def table_of(config: ConfigDict, indicator: np.ndarray) -> np.ndarray:
    """The score of every op, float64[L, O], by the config's rules for an indicator."""
    wiring = build_wiring(config)
    return score_table(
        indicator,
        wiring.searched,
        rule=config.method.score,
        dropped=config.method.dropped_layer,
        always_on=wiring.parallel,
    )


def accuracy_scorer(config: ConfigDict, workdir: Path, space: SearchSpace) -> Scorer:
    """Validation accuracy of the path after recalibration (SPOS, FairNAS)."""
    accuracy = path_accuracy(config, workdir)
    return Scorer(lambda paths: {SCORE: accuracy(paths)}, images=accuracy.images)


SCORERS: dict[str, ScorerRow] = {
    **{
        name: ScorerRow(additive_scorer, frozenset({"indicator"}), additive=True)
        for name in ADDITIVE_RULES
    },
    "accuracy": ScorerRow(
        accuracy_scorer, frozenset({"supernet", "data", "validation"})
    ),
}


def scorer_row(config: ConfigDict) -> ScorerRow:
    """How the config scores."""
    return SCORERS[config.method.score]


def stage_of(name: str, config: ConfigDict) -> Stage:
    """A stage of `STAGES`.

    What the search depends on follows from its score, what retraining writes from the
    number of its networks.
    """
    if name == "search":
        return search_stage(scorer_row(config).needs)
    if name == "retrain":
        return retrain_stage(config.retrain.networks)
    return STAGES[name]
