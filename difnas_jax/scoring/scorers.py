"""How a search scores architectures: by indicator, supernet, or without training."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from difnas_jax.config.build import build_wiring
from difnas_jax.config.stages import (
    STAGES,
    Stage,
    indicator_stage,
    retrain_stage,
    search_stage,
    supernet_stage,
)
from difnas_jax.ranking.combiners import COMBINERS
from difnas_jax.runtime import artifacts
from difnas_jax.runtime.artifacts import Indicator
from difnas_jax.scoring.accuracy import PATHS_PER_CALL, path_accuracy
from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.scoring.proxies import COLUMNS, PROXIES, PROXY_OF
from difnas_jax.scoring.proxies.base import Proxy
from difnas_jax.scoring.proxies.counts import Count
from difnas_jax.scoring.proxies.measurement import proxy_columns
from difnas_jax.scoring.weights import WEIGHTS
from difnas_jax.search.additive import ADDITIVE_RULES, score_table, sum_along_paths
from difnas_jax.search.base import Algorithm
from difnas_jax.search.candidates import SCORE
from difnas_jax.search.problem import RelativeScore
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.training.projection import UPDATES

HELD_OUT = "train_and_held_out"  # images of a proxy, those that need a validation split


@dataclasses.dataclass(frozen=True)
class Scorer:
    """How a search scores architectures.

    Attributes:
      score: int64[N, L] -> columns float64[N] by name, `score` among them, higher is
        better; NaN where there is no score.
      table: float64[L, O] whose sum along an architecture is its score; None where the
        score is not additive.
      images: that pass through the network for the score of one architecture.
      relative: makes the score of the other columns, of which `score` is then none and
        any may be lower is better.
      subsets: bool[N, L, O] -> columns float64[N, R] of supernets that have the ops of
        each subset, in R repeats; None where there is no such score.
      at_once: candidates that are scored between two chances to stop; 0 is all.
    """

    score: Callable[[np.ndarray], dict[str, np.ndarray]]
    table: np.ndarray | None = None
    images: int = 0
    relative: RelativeScore | None = None
    subsets: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None
    at_once: int = 0


class ScorerRow(NamedTuple):
    """One way to score.

    Attributes:
      build: (config, workdir, searched space) -> scorer.
      needs: keys of `config.stages.NEEDS`; which stages must run before the search, and
        what it reads, follow from them.
      unit: of the score, with fields of the method and `{unit}` of its indicator.
      meaning: what the score is, likewise, for readers who do not know the method.
      additive: whether the score is a sum over layers, which has an exact optimum.
      subsets: whether sets of ops have a score, too.
      relative: how a config makes the score of other columns, if it does.
    """

    build: Callable[[ConfigDict, Path, SearchSpace], Scorer]
    needs: frozenset[str]
    unit: str
    meaning: str
    additive: bool = False
    subsets: bool = False
    relative: Callable[[ConfigDict], RelativeScore] | None = None

    def allows(self, algorithm: type[Algorithm]) -> bool:
        """Whether the score has what an algorithm needs."""
        fits = self.additive or not algorithm.needs_table
        return fits and (self.subsets or not algorithm.needs_subsets)


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
    return Scorer(
        lambda paths: {SCORE: accuracy(paths)},
        images=accuracy.images,
        at_once=PATHS_PER_CALL,
    )


def relative_score(config: ConfigDict) -> RelativeScore:
    """Ranks by the columns and the combiner of the config."""
    names, combine = config.method.proxies, COMBINERS[config.method.combiner]
    signs = {name: 1 if COLUMNS[name].higher_is_better else -1 for name in names}
    return RelativeScore(signs, combine)


def counted(config: ConfigDict) -> list[str]:
    """The columns of the config that are counted, which a set of ops has not."""
    names = config.method.proxies
    return [name for name in names if isinstance(PROXIES[PROXY_OF[name]], Count)]


def training_free_scorer(
    config: ConfigDict, workdir: Path, space: SearchSpace
) -> Scorer:
    """Columns of networks as they are drawn (TE-NAS, TEG-NAS, EigenNAS)."""
    measure = proxy_columns(config, config.method.proxies)
    return Scorer(
        measure,
        images=measure.images,
        relative=relative_score(config),
        subsets=measure.of_subsets,
        at_once=jax.device_count(),  # which measure one each
    )


SCORERS: dict[str, ScorerRow] = {
    **{
        name: ScorerRow(
            additive_scorer,
            frozenset({"indicator"}),
            rule.unit,
            rule.meaning,
            additive=True,
        )
        for name, rule in ADDITIVE_RULES.items()
    },
    "accuracy": ScorerRow(
        accuracy_scorer,
        frozenset({"supernet", "data", "validation"}),
        "accuracy, 0 to 1",
        "the accuracy of the network with the weights of the supernet on the "
        "validation split, after its batch norms were recalibrated",
    ),
    "training_free": ScorerRow(
        training_free_scorer,
        frozenset({"data"}),
        "{combiner} of {count} columns, no unit",
        "made, by {combiner}, of the ranks of the network among all that were "
        "evaluated in what is measured without training ({columns}); it changes when "
        "others join",
        subsets=True,
        relative=relative_score,
    ),
}


def scorer_row(config: ConfigDict) -> ScorerRow:
    """How the config scores."""
    return SCORERS[config.method.score]


def needs_validation(config: ConfigDict) -> bool:
    """Whether the score reads a validation split."""
    row, names = scorer_row(config), config.method.proxies
    rows = [PROXIES[PROXY_OF[name]] for name in names] if row.relative else []
    return "validation" in row.needs or any(
        isinstance(proxy, Proxy) and proxy.images == HELD_OUT for proxy in rows
    )


def stage_of(name: str, config: ConfigDict) -> Stage:
    """A stage of `STAGES`.

    What the search depends on follows from its score, what retraining reads and writes
    from its networks, and what the supernet writes from what it measures.
    """
    if name == "supernet":
        projector = UPDATES[config.method["update"]]
        return supernet_stage(
            disturbance=config.supernet.disturbance_every > 0,
            room=bool(projector.room_name),
        )
    if name == "indicator":
        return indicator_stage(INDICATORS[config.method.indicator].measures)
    if name == "search":
        return search_stage(scorer_row(config).needs)
    if name == "retrain":
        return retrain_stage(
            config.retrain.networks,
            given=bool(config.retrain.architecture),
            needs=WEIGHTS[config.retrain.weights].needs,
        )
    return STAGES[name]
