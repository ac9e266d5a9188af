"""The networks of a benchmark table as one trained supernet scores them."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from benchmarks.evidence.indicator_tables import indicator_tables, summed
from benchmarks.evidence.score_ideas import idea_tables
from difnas_jax.data import spread_over
from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.runtime import artifacts, files
from difnas_jax.scoring.accuracy import path_accuracy
from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.scoring.path_losses import full_evidence
from difnas_jax.scoring.scorers import scorer_row, table_of
from difnas_jax.scoring.trained_supernet import trained_supernet
from difnas_jax.spaces.base import SearchSpace

FAST = 0.9  # quantile of speeds


@dataclasses.dataclass(frozen=True)
class Scored:
    """The networks of a table as one trained supernet scores them.

    Attributes:
      scores: float64[N].
      table: float64[L, O] that the score sums, or None where it is no sum.
      others: `<indicator> <score>` -> float64[N] of all that are sums.
      seconds: of training and scoring, by part; a training's are those of its updates
        at the speed of `images_a_second`, without compilation.
      images: that passed through a path, by part.
      folder: of the run that trained it; None where nothing was trained.
    """

    scores: np.ndarray
    table: np.ndarray | None
    others: dict[str, np.ndarray]
    seconds: dict[str, float]
    images: dict[str, int]
    folder: Path | None = None


def scored(
    config: ConfigDict,
    folder: Path,
    table: BenchmarkTable,
    space: SearchSpace,
    flags: argparse.Namespace,
) -> Scored:
    """The names of a table by the method's score, and by the others that are sums.

    Args:
      config: of the method.
      folder: of its training.
      table: N names.
      space: the searched one.
      flags: of `judge`; `ideas` and `validation` are read.
    """
    start = time.monotonic()
    supernet = trained_supernet(config, folder)
    evidence = full_evidence(config, supernet)
    tables = indicator_tables(config, evidence)
    if flags.ideas:
        tables |= idea_tables(config, supernet, evidence)
    sums = {name: summed(values, table, space) for name, values in tables.items()}
    row = scorer_row(config)
    if row.additive:
        values = INDICATORS[config.method.indicator].measure(evidence)
        values = table_of(config, values)
        losses = evidence.measured.losses.size if evidence.measured else 0
        images = losses * config.supernet.batch_size
        scores = summed(values, table, space)
    else:
        accuracy = path_accuracy(config, folder)
        split = spread_over(accuracy.split, flags.validation)
        accuracy = dataclasses.replace(accuracy, split=split)
        networks = table[table.first_of_network]
        # Position of the network of each name among these.
        _, network = np.unique(table.network, return_inverse=True)
        scores = accuracy(space.canonical(networks.architectures))[network]
        values, images = None, accuracy.images * len(networks)
    seconds = {"scoring": time.monotonic() - start}
    through = files.read_json(folder / artifacts.SUPERNET_RESULT, ("images",))["images"]
    seconds["supernet"] = through / images_a_second(folder)
    images = {"supernet": through, "scoring": images}
    return Scored(scores, values, sums, seconds, images, folder)


def images_a_second(folder: Path) -> float:
    """The speed of a training where it was fastest, the last tenth of its log by speed.

    Other work on the machine slows a training down, and nothing speeds it up.
    """
    name = "images_per_second"
    rows = files.read_json_lines(folder / artifacts.SUPERNET_METRICS, (name,))
    return float(np.quantile([row[name] for row in rows], FAST))
