"""The networks of a benchmark table as supernets score them."""

from __future__ import annotations

import argparse
import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from benchmarks.evidence import one_cell
from benchmarks.evidence.indicator_tables import summed
from benchmarks.evidence.scored import Scored, scored
from difnas_jax import checks, pipeline
from difnas_jax.commands.compare import parse_seeds
from difnas_jax.config import default, load_config
from difnas_jax.config.build import build_wiring
from difnas_jax.config.files import override_by_flags
from difnas_jax.errors import InputError
from difnas_jax.main import default_workdir
from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.runtime import files
from difnas_jax.runtime.artifacts import Indicator
from difnas_jax.runtime.metrics import say
from difnas_jax.scoring.scorers import table_of
from difnas_jax.search.additive import ADDITIVE_RULES
from difnas_jax.spaces.base import SearchSpace

CONFIGS = Path(__file__).parents[2] / "configs"
DEFAULT = "default"


@dataclasses.dataclass(frozen=True)
class Ranking:
    """A table and what one or more supernets say of it.

    Attributes:
      name: of the method and its settings.
      space: the searched space.
      table: the N names that the method can find.
      scored: one for each supernet.
      about: settings, data and costs, for the result file.
    """

    name: str
    space: SearchSpace
    table: BenchmarkTable
    scored: list[Scored]
    about: dict[str, Any]

    @property
    def scores(self) -> np.ndarray:
        """float64[S, N]; a name without a score, which no search finds, ranks last."""
        found = np.stack([one.scores for one in self.scored])
        return np.where(np.isfinite(found), found, np.nanmin(found) - 1)

    def others(self) -> dict[str, np.ndarray]:
        """float64[S, N] of every additive score that all supernets have in full."""
        names = [
            n for n in self.scored[0].others if all(n in s.others for s in self.scored)
        ]
        stacked = {n: np.stack([s.others[n] for s in self.scored]) for n in names}
        return {n: scores for n, scores in stacked.items() if np.isfinite(scores).all()}


def methods() -> list[str]:
    """The names that `--method` knows."""
    rows = sorted(path.stem for path in (CONFIGS / "baselines").glob("*.py"))
    return [DEFAULT, "main_effect", "frozen_effect", "logit_gamma", *rows]


def method_config(flags: argparse.Namespace, words: Sequence[str]) -> ConfigDict:
    """The config of a method on this benchmark.

    Raises:
      InputError: an unknown method, or a field that does not fit.
    """
    if flags.method not in methods():
        raise InputError(
            f"--method: expected one of {', '.join(methods())}; got {flags.method!r}"
        )
    size = f"size={flags.size}"
    name = f"{flags.benchmark}:{size}"
    if flags.method != DEFAULT:
        name = f"{flags.method}:{flags.benchmark},{size}"
    config = load_config(name)
    config.data.update(source="arrays", path=flags.data)
    config.supernet.update(epochs=0.0, steps=flags.updates)
    config.method.memory = "path_losses"  # one training serves all indicators
    override_by_flags(config, words)
    config.stages = ("supernet",)
    return config


@one_cell.registered()
def trained(
    flags: argparse.Namespace,
    words: list[str],
    table: BenchmarkTable,
) -> Ranking:
    """Train a supernet for each seed and score the table with each.

    Args:
      flags: of `judge`.
      words: flags of fields of the config.
      table: what to rank.

    Raises:
      InputError: an unknown method, or settings that do not fit.
    """
    config = method_config(flags, words)
    space = build_wiring(config).searched
    table, found = _part(table, space, flags.networks), []
    for seed in parse_seeds(flags.seeds):
        config.seed = seed
        checks.check(config)
        folder = flags.workdir / default_workdir(flags.method, _training(config)).name
        say(f"== {flags.method}, seed {seed}: {folder}")
        pipeline.run(_training(config), folder)
        found.append(scored(config, folder, table, space, flags))
    about = {
        "method": config.method.to_dict(),
        "supernet": config.supernet.to_dict(),
        "data": {
            "file": Path(flags.data).name,
            "image_size": flags.size,
            "validation": f"{config.data.validation_fraction:g} of train",
        },
        "training_seeds": parse_seeds(flags.seeds),
        "seconds": [one.seconds for one in found],
        "images": [one.images for one in found],
    }
    words = [word.removeprefix("--config.") for word in words]
    parts = [flags.method, str(flags.updates), f"{flags.size}px", *words]
    name = "-".join(parts).replace("/", "_")
    return Ranking(name, space, table, found, about)


def stored(
    flags: argparse.Namespace, words: list[str], table: BenchmarkTable
) -> Ranking:
    """Score the table with a stored indicator.

    Raises:
      InputError: no indicator of this space, or a score that is no sum.
    """
    config = default()
    config.space.update(name=flags.benchmark, image_size=32, num_classes=10)
    indicator = Indicator.load(flags.indicator, build_wiring(config).searched)
    method = indicator.provenance.get("method", {})
    config.method.update({k: v for k, v in method.items() if k in config.method})
    override_by_flags(config, words)
    if config.method.score not in ADDITIVE_RULES:
        raise InputError(
            f"method.score: expected one of {', '.join(ADDITIVE_RULES)} for an "
            f"indicator, got {config.method.score!r}; add --config.method.score=sum"
        )
    space = build_wiring(config).searched
    table = _part(table, space, flags.networks)
    values = table_of(config, indicator.table)
    scores = summed(values, table, space)
    known = np.flatnonzero(np.isfinite(scores))
    about = {"indicator": flags.indicator.name, "method": config.method.to_dict()}
    about["provenance"] = indicator.provenance
    found = [Scored(scores[known], values, {}, {}, {})]
    name = f"indicator-{files.checksum(flags.indicator)}"
    return Ranking(name, space, table[known], found, about)


def _training(config: ConfigDict) -> ConfigDict:
    """The config with the same score for all: one training serves all scores.

    `gamma` asks nothing of the training, so that it fits every method.
    """
    config = copy.deepcopy(config)
    config.method.update(indicator="gamma", score="sum")
    return config


def _part(table: BenchmarkTable, space: SearchSpace, networks: int) -> BenchmarkTable:
    """The names that the space allows, of so many networks drawn at random."""
    layers = np.arange(space.num_layers)
    allowed = space.allowed[layers, table.architectures].all(1)
    table = table[np.flatnonzero(allowed)]
    numbers = np.unique(table.network)
    if 0 < networks < len(numbers):
        numbers = np.random.default_rng(0).choice(numbers, networks, replace=False)
    return table[np.flatnonzero(np.isin(table.network, numbers))]
