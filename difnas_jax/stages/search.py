"""Stage 3: search by the indicator alone. Writes `search/`."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax import artifacts, files
from difnas_jax.artifacts import FoundNetwork, Indicator
from difnas_jax.config import build_budget, build_wiring
from difnas_jax.costs import cost_table
from difnas_jax.distributed import is_main_process
from difnas_jax.search import evolution
from difnas_jax.search.candidates import Candidates
from difnas_jax.search.pareto import non_dominated
from difnas_jax.search.scores import SCORES, path_scores
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.writer import Progress

SHOW_EVERY = 5


def run(config: ConfigDict, workdir: Path) -> None:
    """Evolve architectures within the budget; no data and no network are needed."""
    space = build_wiring(config).searched
    indicator = Indicator.load(workdir / artifacts.INDICATOR, space)
    table = SCORES[config.method.score](indicator.table, space)
    numbers = settings(config)
    progress = Progress("search", numbers.generations)

    def show(row: dict[str, Any]) -> None:
        progress.step()
        if row["generation"] % SHOW_EVERY == 0:
            progress.report(row["generation"] + 1, best=row["best"])

    candidates, history = evolution.run(
        space,
        cost_table(space),
        build_budget(config),
        functools.partial(path_scores, table),
        settings=numbers,
        seed=config.seed,
        on_generation=show,
    )
    progress.report(len(history), best=history[-1]["best"])
    progress.close()
    if is_main_process():
        files.write_json_lines(workdir / artifacts.SEARCH_HISTORY, history)
        front = non_dominated(candidates.scores, candidates.macs)
        artifacts.save_candidates(workdir / artifacts.CANDIDATES, candidates)
        artifacts.save_candidates(workdir / artifacts.PARETO, candidates[front])
        best = found_network(config, space, candidates)
        best.save(workdir / artifacts.BEST)


def settings(config: ConfigDict) -> evolution.Settings:
    """The numbers of the evolution.

    Raises:
      InputError: a number that cannot be.
    """
    names = [field.name for field in dataclasses.fields(evolution.Settings)]
    return evolution.Settings(**{name: config.search[name] for name in names})


def found_network(
    config: ConfigDict, space: SearchSpace, candidates: Candidates
) -> FoundNetwork:
    """The first of the candidates with all that is known about it."""
    architecture = space.validate(candidates.architectures[0])
    budget = {
        name: bound
        for name, bound in config.search.to_dict().items()
        if name.endswith(("macs", "params"))
    }
    return FoundNetwork(
        space=space.name,
        architecture=architecture,
        ops=space.op_names(architecture),
        text=space.text(architecture),
        score=float(candidates.scores[0]),
        macs=int(candidates.macs[0]),
        params=int(candidates.params[0]),
        budget=budget,
        seed=config.seed,
        provenance={
            "score": config.method.score,
            "method": config.method.to_dict(),
            "versions": artifacts.versions(),
        },
    )
