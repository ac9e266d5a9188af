"""Evolution against the exact optimum, on the indicator of a real training."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import difnas_jax
from difnas_jax import spaces
from difnas_jax.config import default, load_config
from difnas_jax.runtime import artifacts
from difnas_jax.search.additive import score_table, sum_along_paths
from difnas_jax.search.algorithms import ALGORITHMS, Search
from difnas_jax.search.base import Settings
from difnas_jax.search.candidates import SCORE, Candidates, compare
from difnas_jax.search.problem import Budget, Problem
from difnas_jax.spaces.costs import cost_table

# The digits at 32 pixels: the one data set that everybody has.
CONFIG, UPDATES = "configs/mbv2.py:smoke", 150
MAX_MACS = 475_000_000
SEEDS = range(12)


def evolution() -> dict[str, list[float]]:
    """Shares of the gap from random search to the optimum that evolution closes.

    Returns:
      For each additive score, with and without screening (`<score>`, `<score> plain`):
      one share for each of `SEEDS`, at the numbers of the paper, `mbv2` at 224 pixels
      under 475 M MACs.
    """
    space = spaces.build("mbv2", image_size=224, image_channels=3, num_classes=1000)
    indicator = _trained_indicator(space)
    shares = {}
    for name in ("ratio", "sum"):
        table = score_table(indicator, space, rule=name, dropped="zero")
        budget = Budget.of(max_macs=MAX_MACS)
        problem = Problem(space, cost_table(space), budget, table)
        for suffix, screening in (("", True), (" plain", False)):
            settings = Settings.of({**default().search, "screening": screening})
            shares[name + suffix] = [_share(problem, settings, s) for s in SEEDS]
    return shares


def _trained_indicator(space: spaces.SearchSpace) -> Any:
    config = load_config(CONFIG)
    config.stages = ("supernet", "indicator")
    config.supernet.update(steps=UPDATES, log_every=50, checkpoint_every=UPDATES)
    with tempfile.TemporaryDirectory() as workdir:
        difnas_jax.run(config, workdir)
        path = Path(workdir) / artifacts.INDICATOR
        return artifacts.Indicator.load(path, space).table


def _share(problem: Problem, settings: Settings, seed: int) -> float:
    table = problem.table
    assert table is not None
    found: dict[str, Candidates] = {}
    for name in ("evolution", "random", "exact"):
        search = Search(ALGORITHMS[name](problem, settings, seed))
        found[name] = search.run(lambda paths: {SCORE: sum_along_paths(table, paths)})
    counts = {name: len(candidates) for name, candidates in found.items()}
    rows = compare(found, counts, dict.fromkeys(found, 0.0))
    return next(row["share"] for row in rows if row["algorithm"] == "evolution")
