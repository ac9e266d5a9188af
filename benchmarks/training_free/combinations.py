"""Which sums of log ranks, and which fitted rankings, order NAS-Bench-201 best.

    python -m benchmarks.training_free.combinations --table=nb201_half.csv \
        --csv=columns-seed0.csv

Terms are what is counted of a cell and the columns of a file that `rank` has written,
or that the table has. Each time, half of the networks chooses the terms and the other
half judges them; whole equivalence classes lie on one side. Rewrites its results in the
kept file, and the page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import result_files
from benchmarks.provenance import provenance
from benchmarks.training_free import page
from difnas_jax.ranking.combiners import rank_shares
from difnas_jax.ranking.comparison import counted, split
from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.ranking.evaluation import tau_within
from difnas_jax.ranking.fitted import fit
from difnas_jax.ranking.path_counts import path_counts
from difnas_jax.ranking.tables import CIFAR10, BenchmarkTable, read_nas_bench_201
from difnas_jax.runtime.columns import Columns
from difnas_jax.runtime.shutdown import exit_code
from difnas_jax.scoring.proxies import COLUMNS

SPLITS = 10  # of the networks in two halves
MOST_TERMS = 6
BEAM = 6  # sets of terms that are kept from one number of terms to the next
FITTED_TO = (100, 250, 500, 1000)
FITS = 5  # of each size
DIGITS = 9  # sums of logarithms are equal up to rounding

Terms = tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and rewrite the page; returns the exit code."""
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--csv", type=Path, nargs="*", default=[])
    parser.add_argument("--columns", default="", help="of the files, by commas; or all")
    parser.add_argument("--name", required=True, help="of these terms, for the page")
    parser.add_argument("--sets", nargs="*", default=[], help="TERM+TERM+...")
    flags = parser.parse_args(argv)
    table, terms = read_terms(flags.table, flags.csv, flags.columns)
    ranks = {name: np.log(rank_shares(v[:, None]))[:, 0] for name, v in terms.items()}
    files = " ".join(
        [f"--table={flags.table.name}", "--csv", *(p.name for p in flags.csv)]
    )
    command = f"python -m benchmarks.training_free.combinations {files}"
    results = result_files.load(page.RESULTS)
    results[flags.name] = {
        **provenance(command, seed=0, packages=("numpy",)),
        "columns": flags.columns,
        "networks": [len(table), len(table.first_of_network)],
        "alone": {name: taus((name,), ranks, table) for name in ranks},
        "chosen": [chosen_and_judged(ranks, table, seed) for seed in range(SPLITS)],
        "ablation": {
            text: ablation(tuple(text.split("+")), ranks, table) for text in flags.sets
        },
        "fitted": fitted(table, terms),
    }
    result_files.write(page.RESULTS, results)
    page.write(result_files.load(page.RESULTS))


def read_terms(
    path: Path, files: Sequence[Path], columns: str
) -> tuple[BenchmarkTable, dict[str, np.ndarray]]:
    """The architectures that all files have measured, and float64[N] by term."""
    table = read_nas_bench_201(path)
    names = [name for name in columns.split(",") if name]
    read = [Columns.read(file, names) for file in files]
    for one in read:
        table = table[np.isin(table.index, one.index[one.measured])]
    terms = {name: rows[0] for name, rows in counted(table).items() if name != "macs"}
    for one in read:
        for name in (n for n in one.values if n not in (*terms, "macs")):
            lower = name in COLUMNS and not COLUMNS[name].higher_is_better
            values = one.of(name, table.index)
            terms[name] = -values if lower else values
    return table, terms


def taus(
    terms: Terms,
    ranks: dict[str, np.ndarray],
    table: BenchmarkTable,
    rows: np.ndarray | slice = slice(None),
) -> list[float]:
    """Tau-b of a sum of log ranks on each data set."""
    score = np.round(sum(ranks[name][rows] for name in terms), DIGITS)
    return [kendall_tau_b(score, a[rows]) for a in table.by_data_set.values()]


def chosen_and_judged(
    ranks: dict[str, np.ndarray], table: BenchmarkTable, seed: int
) -> list[dict[str, Any]]:
    """For each number of terms the best set on one half, and its taus on the other.

    The best one has the highest mean tau-b over data sets among the sets that a beam
    search finds: it adds a term to each of the `BEAM` best sets of one term less.
    """
    choosing, judging = split(table, len(table) // 2, seed)
    kept: list[Terms] = [()]
    rows = []
    for size in range(1, MOST_TERMS + 1):
        longer = {tuple(sorted({*s, n})) for s in kept for n in ranks if n not in s}
        found = {s: float(np.mean(taus(s, ranks, table, choosing))) for s in longer}
        kept = sorted(found, key=lambda s: (-found[s], s))[:BEAM]
        best = kept[0]
        judged = taus(best, ranks, table, judging)
        rows.append({"size": size, "terms": "+".join(best), "judged": judged})
    return rows


def ablation(
    terms: Terms, ranks: dict[str, np.ndarray], table: BenchmarkTable
) -> dict[str, list[float]]:
    """Taus of a set on all networks, at equal size, and without each of its terms."""
    score = np.round(sum(ranks[name] for name in terms), DIGITS)
    within = tau_within(table.costs["params"])
    first = table.first_of_network
    accuracies = table.by_data_set
    return {
        "all terms": taus(terms, ranks, table),
        "networks once": taus(terms, ranks, table, first),
        "same size": [within(score, a) for a in accuracies.values()],
        **{
            f"without {name}": taus(tuple(t for t in terms if t != name), ranks, table)
            for name in terms
            if len(terms) > 1
        },
    }


def fitted(table: BenchmarkTable, terms: dict[str, np.ndarray]) -> dict[str, Any]:
    """Taus of rankings fitted to some networks, on all others; mean and worst of fits.

    Returns:
      By features and number of networks: `mean` and `worst`, by data set, and
      `same_size`, tau-b on CIFAR-10 at equal parameter count.
    """
    counts = path_counts(table.space, table.architectures)
    shares = rank_shares(np.stack([*terms.values()], axis=1))
    features = {"path counts": counts, "and terms": np.hstack([counts, shares])}
    return {
        name: {str(size): _fits(columns, table, size) for size in FITTED_TO}
        for name, columns in features.items()
    }


def _fits(features: np.ndarray, table: BenchmarkTable, size: int) -> dict[str, Any]:
    values, params = [], table.costs["params"]
    for seed in range(FITS):
        known, others = split(table, size, seed)
        scores = {
            data_set: fit(features[known], a[known])(features[others])
            for data_set, a in table.by_data_set.items()
        }
        row = [
            kendall_tau_b(s, table.by_data_set[d][others]) for d, s in scores.items()
        ]
        within = tau_within(params[others])
        values.append([*row, within(scores[CIFAR10], table.accuracies[others])])
    *mean, same_size = np.mean(values, axis=0).tolist()
    worst = np.min(values, axis=0).tolist()[:-1]
    return {"mean": mean, "worst": worst, "same_size": same_size}


if __name__ == "__main__":
    sys.exit(main())
