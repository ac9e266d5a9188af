"""What a search costs by three terms without training, and by validation accuracy.

    python -m benchmarks.training_free.search_time --workdir=runs/search_time

TEG-NAS says that its terms in the place of validation accuracy cut the search time by a
factor of more than 2.3. The same algorithm evaluates as many networks of `digits` by
both; the supernet whose paths have accuracies is that of SPOS. The command continues
with the rows that are not kept yet, and rewrites the page.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from benchmarks import markdown, result_files
from benchmarks.provenance import provenance
from benchmarks.result_files import Results
from difnas_jax import pipeline
from difnas_jax.config.build import build_budget, build_wiring
from difnas_jax.config.files import load_config
from difnas_jax.runtime import files
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.scoring.scorers import scorer_row
from difnas_jax.search.algorithms import ALGORITHMS, Search
from difnas_jax.search.base import Settings
from difnas_jax.search.problem import Problem
from difnas_jax.spaces.costs import cost_table

FOLDER = Path(__file__).parent
RESULTS, PAGE = FOLDER / "search_time.json", FOLDER / "SEARCH_TIME.md"
COMMAND = "python -m benchmarks.training_free.search_time --workdir=runs/search_time"
SUPERNET = "supernet"
# Networks that each search evaluates; of evolution half in the first population.
EVALUATIONS = 60
NUMBERS = {
    "reinforce": {"steps": EVALUATIONS - 1},  # and the most probable network
    "regularized_evolution": {
        "population": EVALUATIONS // 2,
        "mutations": 0,
        "tournament": 8,
        "crossovers": 0,
        "steps": EVALUATIONS // 2,
    },
}
ACCURACY = "validation accuracy"
REWARDS = {
    "three terms": ("baselines/teg_reinforce:digits", {"proxy_repeats": 1}),
    ACCURACY: ("baselines/spos:digits", {}),
}
HEADER = f"""# Search time with and without training

`{COMMAND}`: searches on `digits`, seed 0. All times are seconds of the processor, both
cores together, as others used the machine. *first* is the first call of the score,
which compiles; *each* is a network after that; *search* is the whole search. *supernet*
is its training, 1,000 updates of SPOS, compilation included; *ratio* is the time of the
same search by accuracy, without and with that training, over this one. Initial values
are drawn once; the three drawings of TEG-NAS cost three times as much. The program of
accuracies runs ten paths at once, and repeats one where fewer are asked for: a search
that asks for one at a time, as REINFORCE does, pays for ten.

"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing; returns the exit code."""
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="python -m benchmarks.training_free.search_time")
    parser.add_argument("--workdir", required=True, metavar="FOLDER", type=Path)
    workdir = parser.parse_args(argv).workdir
    config = load_config(REWARDS[ACCURACY][0])
    config.stages, config.compilation_cache = ("supernet",), ""
    _, seconds = _seconds(lambda: pipeline.run(config, workdir))
    results = result_files.load(RESULTS)
    if SUPERNET not in results:
        results[SUPERNET] = provenance(COMMAND, config.seed) | {"seconds": seconds}
        result_files.write(RESULTS, results)
    for name in NUMBERS:
        for reward in REWARDS:
            if (row := f"{name}, {reward}") not in results:
                say(f"search_time: {row}")
                measured = searched(config_of(name, reward), workdir)
                results[row] = provenance(COMMAND, config.seed) | measured
                result_files.write(RESULTS, results)
    with files.atomic_write(PAGE) as file:
        file.write(page(result_files.load(RESULTS)))


def config_of(name: str, reward: str) -> ConfigDict:
    """The search of an algorithm by a reward."""
    base, method = REWARDS[reward]
    config = load_config(base)
    config.search.update(algorithm=name, **NUMBERS[name])
    config.method.update(method)
    return config


def searched(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """Run one search and time every call of its score."""
    space = build_wiring(config).searched
    scorer = scorer_row(config).build(config, workdir, space)
    costs, budget = cost_table(space), build_budget(config)
    problem = Problem(space, costs, budget, relative=scorer.relative)
    settings = Settings.of(config.search)
    algorithm = ALGORITHMS[config.search.algorithm](problem, settings, config.seed)
    calls: list[tuple[int, float]] = []

    def score(architectures: np.ndarray) -> Mapping[str, np.ndarray]:
        if not calls:  # the program is compiled for any number of networks
            calls.append((0, _seconds(lambda: scorer.score(architectures[:1]))[1]))
        columns, seconds = _seconds(lambda: scorer.score(architectures))
        calls.append((len(architectures), seconds))
        return columns

    _, total = _seconds(lambda: Search(algorithm).run(score))
    networks, seconds = np.sum(calls[1:], axis=0)
    values = {"first": calls[0][1], "each": seconds / networks, "search": total}
    return {"evaluated": algorithm.evaluations, **values}


def _seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and the seconds of all cores that it took."""
    start = time.process_time()
    return work(), time.process_time() - start


def page(results: Results) -> str:
    """The text of the page."""
    lines = [*_table(results), "", *markdown.sources(results)]
    return HEADER + "\n".join(lines) + "\n"


def _table(results: Results) -> Iterator[str]:
    titles = "networks", "first [s]", "each [s]", "search [s]", "supernet [s]"
    yield from markdown.head(("algorithm", "reward", *titles, "ratio", "with supernet"))
    training = results[SUPERNET]["seconds"]
    for name in NUMBERS:
        own = {reward: f"{name}, {reward}" for reward in REWARDS}
        if not results.keys() >= set(own.values()):
            yield markdown.row([name, "not run", *[""] * 7])
            continue
        rows = {reward: results[key] for reward, key in own.items()}
        usual = rows[ACCURACY]["search"]
        for reward, row in rows.items():
            seconds = [f"{row[key]:.2f}" for key in ("first", "each", "search")]
            supernet = f"{training:.2f}" if reward == ACCURACY else "-"
            ratios = [usual / row["search"], (usual + training) / row["search"]]
            shown = ["", ""] if reward == ACCURACY else [f"{r:.2f}" for r in ratios]
            yield markdown.row(
                [name, reward, row["evaluated"], *seconds, supernet, *shown]
            )


if __name__ == "__main__":
    sys.exit(main())
