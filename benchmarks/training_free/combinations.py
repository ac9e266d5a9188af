"""Which sums of log ranks, and which fitted rankings, order NAS-Bench-201 best.

    python -m benchmarks.training_free.combinations --table=nb201_half.csv \
        --csv columns-seed0.csv --name=ours --columns=nwot,jacov --sets jacov+params

Terms are what is counted of a cell and the columns of a file that `rank` has written,
or that the table has. Each time, half of the networks chooses the terms and the other
half judges them; whole equivalence classes lie on one side. Rewrites its results in the
kept file, and the page.
"""

from __future__ import annotations

import collections
import re
import shlex
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
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.scoring.score_files import oriented

SPLITS = 10  # of the networks in two halves
MOST_TERMS = 6
BEAM = 4  # sets of terms that are kept from one number of terms to the next
FITTED_TO = (100, 250, 500, 1000)
FITS = 5  # of each size
DIGITS = 9  # sums of logarithms are equal up to rounding

Terms = tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and rewrite the page; returns the exit code."""
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> None:
    parser = Parser("python -m benchmarks.training_free.combinations", __doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--csv", type=Path, nargs="*", default=[])
    parser.add_argument("--columns", default="", help="of the files; empty: all")
    parser.add_argument("--where", default="", help="the table has this column")
    parser.add_argument("--name", required=True, help="of these terms, for the page")
    parser.add_argument("--sets", nargs="*", default=[], help="TERM+TERM+...")
    flags = parser.parse_args(argv)
    table = read_nas_bench_201(flags.table)
    if flags.where:
        has = Columns.read(flags.table, [flags.where])
        table = table[np.isin(table.index, has.index[has.measured])]
    columns = [name for name in flags.columns.split(",") if name]
    table, terms = read_terms(table, flags.csv, columns)
    ranks = {name: np.log(rank_shares(v[:, None]))[:, 0] for name, v in terms.items()}
    names = [re.sub(r"(^|=)[^=]*/", r"\1", text) for text in argv or sys.argv[1:]]
    command = f"python -m benchmarks.training_free.combinations {shlex.join(names)}"
    results = result_files.load(page.RESULTS)
    results[flags.name] = {
        **provenance(command, seed=0, packages=("numpy",)),
        "networks": [len(table), len(table.first_of_network)],
        "alone": {name: taus((name,), ranks, table) for name in ranks},
        "chosen": chosen(ranks, table),
        "ablation": {
            text: ablation(tuple(text.split("+")), ranks, table) for text in flags.sets
        },
        "fitted": fitted(table, terms),
    }
    page.write(result_files.write(page.RESULTS, results))


def read_terms(
    table: BenchmarkTable, paths: Sequence[Path], names: Sequence[str]
) -> tuple[BenchmarkTable, dict[str, np.ndarray]]:
    """The architectures that all files have measured, and float64[N] by term."""
    read = [_columns(path, names) for path in paths]
    for one in read:
        table = table[np.isin(table.index, one.index[one.measured])]
    terms = {name: rows[0] for name, rows in counted(table).items()}
    for one in read:
        own = [name for name in one.values if name not in terms]
        terms |= {name: one.of(name, table.index) for name in own}
    del terms["macs"]  # it orders these cells nearly as params does
    return table, oriented(terms)


def _columns(path: Path, names: Sequence[str]) -> Columns:
    """Those of the names that the file has, or all columns."""
    with open(path) as file:
        known = file.readline().strip().split(",")
    return Columns.read(path, [name for name in names if name in known])


def taus(
    terms: Terms,
    ranks: dict[str, np.ndarray],
    table: BenchmarkTable,
    rows: np.ndarray | slice = slice(None),
) -> list[float]:
    """Tau-b of a sum of log ranks on each data set."""
    score = np.round(sum(ranks[name][rows] for name in terms), DIGITS)
    return [kendall_tau_b(score, a[rows]) for a in table.by_data_set.values()]


def chosen(ranks: dict[str, np.ndarray], table: BenchmarkTable) -> list[dict[str, Any]]:
    """For each number of terms what `SPLITS` halves of the networks chose.

    Returns:
      `size`; `terms` that were chosen most often, so many `times`; and `judged`, the
      mean taus of what each half chose on the other half.
    """
    splits = [chosen_and_judged(ranks, table, seed) for seed in range(SPLITS)]
    rows = []
    for size, found in enumerate(zip(*splits, strict=True), start=1):
        sets, judged = zip(*found, strict=True)
        terms, times = collections.Counter(sets).most_common(1)[0]
        mean = np.mean(judged, axis=0).tolist()
        rows.append(
            {"size": size, "terms": "+".join(terms), "times": times, "judged": mean}
        )
    return rows


def chosen_and_judged(
    ranks: dict[str, np.ndarray], table: BenchmarkTable, seed: int
) -> list[tuple[Terms, list[float]]]:
    """For each number of terms the best set on one half, and its taus on the other.

    The best one has the highest mean tau-b over data sets among the sets that a beam
    search finds: it adds a term to each of the `BEAM` best sets of one term less.
    """
    choosing, judging = split(table, len(table) // 2, seed)
    kept: list[Terms] = [()]
    rows = []
    for _ in range(MOST_TERMS):
        longer = {tuple(sorted({*s, n})) for s in kept for n in ranks if n not in s}
        found = {s: float(np.mean(taus(s, ranks, table, choosing))) for s in longer}
        kept = sorted(found, key=lambda s: (-found[s], s))[:BEAM]
        rows.append((kept[0], taus(kept[0], ranks, table, judging)))
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
    sizes = [size for size in FITTED_TO if 2 * size <= len(table)]
    return {
        name: {str(size): _fits(columns, table, size) for size in sizes}
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
