"""Scores against the best null, on networks that had no part in a choice.

    python -m benchmarks.evidence.paired --table=nas_bench_macro_half.json RESULT ...

Each RESULT is a folder that `judge` wrote, with the scores of one or more seeds. While
settings were chosen, half of the networks of NAS-Bench-Macro were looked at, drawn by
the number `CHOSEN_BY`; this program ranks the other half, and all, by each score and by
the number of layers with reductions counted double, on the same networks, and gives the
difference with a bootstrap interval over networks and seeds.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.evidence.evaluation import baselines
from benchmarks.evidence.results import ranked_scores
from difnas_jax.ranking.correlation import PERCENTILES, kendall_tau_b
from difnas_jax.ranking.tables import BenchmarkTable, read_nas_bench_macro
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code

CHOSEN_BY = 23
NULL = "layer count, reductions double"
RESAMPLES = 500


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    return exit_code(lambda: _run(_flags(argv)))


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.evidence.paired")
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT")
    parser.add_argument("--table", required=True, type=Path, metavar="FILE")
    return parser.parse_args(argv)


def _run(flags: argparse.Namespace) -> None:
    table = read_nas_bench_macro(flags.table)
    table = table[table.first_of_network]
    say("result: networks, tau-b by seed, of the mean of the seeds; null; difference")
    for folder in flags.results:
        scores = ranked_scores(folder, table)
        for name, rows in (("all", np.arange(len(table))), ("unseen", unseen(table))):
            say(f"{folder.name}, {name}: {compared(scores[:, rows], table[rows])}")


def unseen(table: BenchmarkTable) -> np.ndarray:
    """The networks that no setting was chosen by, int64[N // 2]."""
    order = np.random.default_rng(CHOSEN_BY).permutation(len(table))
    return order[len(table) // 2 :]


def compared(scores: np.ndarray, table: BenchmarkTable) -> str:
    """One line: tau-b of each seed, of their mean, and the paired difference."""
    null, accuracies = baselines(table)[NULL][0], table.accuracies
    rng, found = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows = rng.integers(len(table), size=len(table))
        seeds = rng.integers(len(scores), size=len(scores))
        taus = [kendall_tau_b(scores[s][rows], accuracies[rows]) for s in set(seeds)]
        weights = [np.count_nonzero(seeds == s) for s in set(seeds)]
        mean = np.average(taus, weights=weights)
        found.append(mean - kendall_tau_b(null[rows], accuracies[rows]))
    low, high = np.percentile(found, PERCENTILES)
    by_seed = [kendall_tau_b(row, accuracies) for row in scores]
    of_mean, of_null = (
        kendall_tau_b(values, accuracies) for values in (scores.mean(0), null)
    )
    pairs = [
        kendall_tau_b(scores[[*pair]].mean(0), accuracies)
        for pair in itertools.combinations(range(len(scores)), 2)
    ]
    shown, of_pairs = (", ".join(f"{tau:.3f}" for tau in t) for t in (by_seed, pairs))
    difference = np.mean(by_seed) - of_null
    return (
        f"{len(table)}; {shown}; mean of scores {of_mean:.3f}, of pairs of seeds "
        f"{of_pairs}; null {of_null:.3f}; "
        f"difference {difference:+.3f} [{low:+.3f}, {high:+.3f}]"
    )


if __name__ == "__main__":
    sys.exit(main())
