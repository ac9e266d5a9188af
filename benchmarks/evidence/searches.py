"""Searches judged: the networks that they find, looked up in a benchmark table.

    python -m benchmarks.evidence.searches --benchmark=nas_bench_macro \
        --data=cifar10.npz --table=nas-bench-macro_cifar10.json [ROW ...]

Every seed of a row of `search_rows.SEARCHES` scores the networks of the table and
chooses one under each budget, whose accuracies are kept in `searches.csv`. Beside them
`random_search.csv` has what random search finds that trains networks and keeps the one
of the best true accuracy. `SEARCHES.md` is made from both. Without names the rows run
that have no result yet; trainings and measurements below --workdir are used again.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence import search_page
from benchmarks.evidence.search_rows import SEARCHES
from benchmarks.evidence.search_scores import Inputs, Scored
from difnas_jax.errors import InputError
from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.ranking.selection import choice
from difnas_jax.ranking.tables import TABLES
from difnas_jax.runtime import compilation, files
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code

# How many networks a random search trains; as many as there are, last.
TRAININGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)

RANKINGS = Path("runs/evidence/results")  # of `python -m benchmarks.evidence`

Line = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the searches; returns the exit code."""
    return exit_code(lambda: _run(_flags(argv)))


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m benchmarks.evidence.searches",
        description="Run all searches of a benchmark, or some.",
    )
    add = parser.add_argument
    add("rows", nargs="*", metavar="ROW", help="of `search_rows.SEARCHES`")
    add("--benchmark", choices=SEARCHES, required=True)
    add("--data", required=True, metavar="FILE", help="CIFAR-10 as `judge` reads it")
    add("--table", type=Path, required=True, metavar="FILE", help="as published")
    add("--workdir", type=Path, default=Path("runs/searches"), metavar="FOLDER")
    add("--rankings", type=Path, default=RANKINGS, metavar="FOLDER", help="of rows")
    flags = parser.parse_args(argv)
    known = SEARCHES[flags.benchmark]
    if unknown := [name for name in flags.rows if name not in known]:
        raise InputError(
            f"ROW: expected some of {', '.join(known)}; got {', '.join(unknown)}"
        )
    return flags


def _run(flags: argparse.Namespace) -> None:
    name, known = flags.benchmark, SEARCHES[flags.benchmark]
    table = TABLES[name](flags.table)
    table = table[table.first_of_network]
    inputs = Inputs(
        flags.data, flags.table, table, flags.workdir / name, flags.rankings
    )
    kept = search_page.load(search_page.SEARCHES)
    curves = [c for c in search_page.load(search_page.RANDOM) if c["benchmark"] != name]
    curves += random_searches(inputs)
    _write(search_page.RANDOM, curves)
    done = {line["row"] for line in kept if line["benchmark"] == name}
    for row in flags.rows or [row for row in known if row not in done]:
        found = []
        for seed in range(known[row].seeds):
            say(f"=== {name}, {row}, seed {seed}")
            scored = known[row].score(inputs, seed)
            about = {"benchmark": name, "row": row, "seed": seed}
            found += [about | line for line in found_networks(scored, inputs)]
        others = (
            line for line in kept if (line["benchmark"], line["row"]) != (name, row)
        )
        kept = [*others, *found]
        _write(search_page.SEARCHES, kept)
        search_page.write()


def found_networks(scored: Scored, inputs: Inputs) -> Iterator[Line]:
    """The network of highest score under each budget.

    Beside it is tau-b among the networks within the budget that have a score.
    """
    table = inputs.table
    costs, accuracies = table.costs["macs"], table.accuracies
    for scores, budget in zip(scored.scores, inputs.budgets, strict=True):
        found = choice(scores, accuracies, costs, max_cost=budget)
        if found is None:
            continue
        seen = np.isfinite(scores) & (costs <= budget)
        yield {
            "budget": _text(budget),
            "index": int(table.index[found.chosen]),
            **{
                name: round(float(values[found.chosen]), 4)
                for name, values in table.by_data_set.items()
            },
            **{
                f"tau_b {name}": round(kendall_tau_b(scores[seen], values[seen]), 4)
                for name, values in table.by_data_set.items()
            },
            "seconds": round(scored.seconds, 1),
            "images": round(scored.images),
        }


def random_searches(inputs: Inputs) -> Iterator[Line]:
    """What random search finds under each budget, by how many networks it trains."""
    table = inputs.table
    for budget in inputs.budgets:
        within = table[table.costs["macs"] <= budget]
        for data_set, accuracies in within.by_data_set.items():
            count = len(accuracies)
            for trainings in [n for n in TRAININGS if n < count] + [count] * (
                count > 0
            ):
                mean, spread = best_of(accuracies, trainings)
                yield {
                    "benchmark": inputs.benchmark,
                    "budget": _text(budget),
                    "data_set": data_set,
                    "trainings": trainings,
                    "accuracy": round(mean, 4),
                    "spread": round(spread, 4),
                }


def best_of(accuracies: np.ndarray, trainings: int) -> tuple[float, float]:
    """Mean and standard deviation of the best of some networks drawn at random.

    Args:
      accuracies: float64[N].
      trainings: how many different networks are drawn, 1 to N.
    """
    ordered, count = np.sort(accuracies)[::-1], len(accuracies)
    # Of N networks the one with w worse ones is the best of n with probability
    # C(w, n - 1) / C(N, n); from w to w - 1 this changes by (w - n + 1) / w.
    worse = np.arange(count - 1, 0, -1)
    steps = np.maximum(worse - trainings + 1, 0) / worse
    weights = trainings / count * np.cumprod([1.0, *steps])
    mean = float(weights @ ordered)
    return mean, float(np.sqrt(weights @ (ordered - mean) ** 2))


def _text(budget: float) -> str:
    """A budget in millions of MACs; empty for none."""
    return f"{budget / 1e6:.0f}" if np.isfinite(budget) else ""


def _write(path: Path, lines: list[Line]) -> None:
    names = list(dict.fromkeys(name for line in lines for name in line))
    with files.atomic_write(path) as file:
        rows = csv.DictWriter(file, names, lineterminator="\n")
        rows.writeheader()
        rows.writerows(lines)


if __name__ == "__main__":
    compilation.suggest_kept_memory()
    sys.exit(main())
