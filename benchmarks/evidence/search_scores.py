"""How a seed of a search scores the networks of a table before it chooses one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.evidence import judge
from benchmarks.evidence.evaluation import BUDGETS, baselines
from benchmarks.evidence.method_scores import trained
from benchmarks.evidence.results import ranked_scores
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
      rankings: folder of `result.json` and `scores.csv` of rows of the evidence.
    """

    data: str
    table_file: Path
    table: BenchmarkTable
    workdir: Path
    rankings: Path

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


def ranked(row: str) -> Score:
    """As a row of `python -m benchmarks.evidence` has scored all networks."""

    def score(inputs: Inputs, seed: int) -> Scored:
        folder = inputs.rankings / row
        result = files.read_json(folder / "result.json", ("seconds", "images", "data"))
        place = result["training_seeds"].index(seed)
        scores = ranked_scores(folder, inputs.table)[place]
        images = sum(result["images"][place].values())
        return Scored(
            np.tile(scores, (len(inputs.budgets), 1)),
            sum(result["seconds"][place].values()),
            images * (result["data"]["image_size"] / PIXELS) ** 2,
        )

    return score


def counted(name: str) -> Score:
    """Count, by a name of `evaluation.baselines`; costs nothing and has no seed."""

    def score(inputs: Inputs, seed: int) -> Scored:
        scores = baselines(inputs.table)[name]
        return Scored(np.tile(scores[:1], (len(inputs.budgets), 1)))

    return score
