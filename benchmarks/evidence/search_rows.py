"""The searches that are judged: which score chooses the network.

A search is a row: its title, and how a seed of it scores the networks of a table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.evidence import judge
from benchmarks.evidence.evaluation import BUDGETS, baselines
from benchmarks.evidence.method_scores import trained
from difnas_jax.commands import rank
from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.runtime import files
from difnas_jax.scoring.proxies.measurement import proxy_columns
from difnas_jax.scoring.score_files import read_scores
from difnas_jax.scoring.sweep import costs_beside

PIXELS = 32  # side of the images of the benchmarks
CANDIDATES = 400  # within each budget that a search without training measures


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a search is given.

    Attributes:
      data: the .npz file of CIFAR-10.
      table_file: of the benchmark.
      table: N networks of it, each once.
      workdir: of the trainings and measurements, which are used again.
    """

    data: str
    table_file: Path
    table: BenchmarkTable
    workdir: Path

    @property
    def benchmark(self) -> str:
        """Its name, which is that of its space."""
        return self.table.space.name

    @property
    def budgets(self) -> list[float]:
        """The most MACs that are allowed, the last one infinite."""
        return [*(1e6 * one for one in BUDGETS[self.benchmark]), np.inf]


class Scored(NamedTuple):
    """What a search knows of the networks before it chooses one.

    Attributes:
      scores: float64[B, N], of each network under each budget; NaN where it looked at
        none.
      seconds: that this took, without compilation.
      images: that passed through one path for it, those of fewer pixels as a part of
        one of the benchmark.
    """

    scores: np.ndarray
    seconds: float = 0.0
    images: float = 0.0


Score = Callable[[Inputs, int], Scored]


class Search(NamedTuple):
    """A search.

    Attributes:
      title: of its row.
      score: of what it is given and a seed.
      seeds: how many, from 0.
    """

    title: str
    score: Score
    seeds: int = 10


def supernet(*flags: str) -> Score:
    """Train a supernet and score all networks by it; flags are those of `judge`."""

    def score(inputs: Inputs, seed: int) -> Scored:
        given = f"--benchmark={inputs.benchmark}", f"--data={inputs.data}"
        about = f"--table={inputs.table_file}", f"--workdir={inputs.workdir}"
        known, words = judge.parse_flags([*given, *about, f"--seeds={seed}", *flags])
        ranked = trained(known, words, inputs.table)
        scores = np.full(len(inputs.table), np.nan)
        scores[np.isin(inputs.table.index, ranked.table.index)] = ranked.scores[0]
        (one,) = ranked.scored
        return Scored(
            np.tile(scores, (len(inputs.budgets), 1)),
            sum(one.seconds.values()),
            sum(one.images.values()) * (known.size / PIXELS) ** 2,
        )

    return score


def without_training(combination: str) -> Score:
    """Measure `CANDIDATES` random networks within each budget at their initial values.

    Args:
      combination: see `rank --combine`. The seed draws kernels, images and candidates.
    """
    names = combination.partition(":")[2].split("+")
    measured = [name for name in names if name not in rank.COUNTED]

    def score(inputs: Inputs, seed: int) -> Scored:
        table = inputs.table
        drawn = np.random.default_rng(seed).permutation(len(table))
        within = [drawn[table.costs["macs"][drawn] <= b] for b in inputs.budgets]
        looked_at = np.unique(np.concatenate([rows[:CANDIDATES] for rows in within]))
        folder = inputs.workdir / f"{combination.replace(':', '-')}-seed{seed}"
        flags, config = rank.parse_flags(
            [inputs.benchmark, f"--table={inputs.table_file}", f"--data={inputs.data}"]
            + [f"--scores={','.join(measured)}", f"--seed={seed}"]
            + [f"--workdir={folder}"]
        )
        files.make_folder(folder)
        paths = rank.measured(flags, config, table[looked_at])
        scores = np.full((len(inputs.budgets), len(table)), np.nan)
        for row, rows in zip(scores, within, strict=True):
            rows = np.sort(rows[:CANDIDATES])
            row[rows] = read_scores(paths, measured, [combination], table[rows])[0][
                combination
            ][0]
        seconds = sum(one.seconds for one in costs_beside(paths[0]).values())
        images = len(looked_at) * proxy_columns(config, measured).images
        return Scored(scores, seconds, images / 2**2)  # of half the side

    return score


def counted(name: str) -> Score:
    """Count, by a name of `evaluation.baselines`; costs nothing and has no seed."""

    def score(inputs: Inputs, seed: int) -> Scored:
        scores = baselines(inputs.table)[name]
        return Scored(np.tile(scores[:1], (len(inputs.budgets), 1)))

    return score


CELLS = "--size=16", "--updates=300"
SHORT = "--size=16", "--updates=250"
MEASURED = "--config.method.measured_batches=100"
COUNTS = {
    "layer_count": Search("layer count", counted("layer count"), 1),
    "macs": Search("MACs", counted("MACs"), 1),
    "params": Search("params", counted("params"), 1),
}
# By benchmark and name.
SEARCHES: dict[str, dict[str, Search]] = {
    "nas_bench_macro": {
        "dinas": Search(
            "DI-NAS (the default), 250 updates", supernet("--method=default", *SHORT)
        ),
        "frozen": Search(
            "main effects, kernels frozen, 250 updates",
            supernet("--method=frozen", *SHORT, MEASURED),
        ),
        "main_effect": Search(
            "main effects, 250 updates",
            supernet("--method=main_effect", *SHORT, MEASURED),
        ),
        "training_free": Search(
            "`swap` + `expressivity` of 400 networks, no training",
            without_training("sum_log_rank:swap+expressivity"),
        ),
        "reductions": Search(
            "layer count, reductions double",
            counted("layer count, reductions double"),
            1,
        ),
        **COUNTS,
    },
    "nas_bench_201": {
        "dinas": Search(
            "DI-NAS (the default), 300 updates", supernet("--method=default", *CELLS), 1
        ),
        "main_effect": Search(
            "main effects during the training, 300 updates",
            supernet(
                "--method=main_effect", *CELLS, "--config.method.indicator=main_effect"
            ),
            1,
        ),
        "long": Search(
            "main effects at 8 pixels, 1500 updates",
            supernet("--method=main_effect", "--size=8", "--updates=1500", MEASURED),
            1,
        ),
        "training_free": Search(
            "six terms of 400 networks, no training",
            without_training(
                "sum_log_rank:expressivity+large_depth+pool_paths+swap+synflow"
                "+unpooled_paths"
            ),
        ),
        **COUNTS,
    },
}
