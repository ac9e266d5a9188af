"""Compare the score of one method with the accuracies of a benchmark table.

Train the supernet of a method on CIFAR-10 and compare its score with the table:

    python -m benchmarks.evidence.judge --data=cifar10.npz \
        --table=nas-bench-macro_cifar10.json --method=default --seeds=0,1,2

or compare a stored indicator:

    python -m benchmarks.evidence.judge --indicator=indicator.npz \
        --table=nas-bench-macro_cifar10.json

or scores without training, which `difnas-jax rank` has measured:

    python -m benchmarks.evidence.judge --columns=runs/rank \
        --combine=sum_log_rank:swap+expressivity \
        --table=nas-bench-macro_cifar10.json

`--benchmark=nas_bench_201` does the same with the cells of NAS-Bench-201, and judges
the scores by its other data sets, too.

A method is a config over other experiments (`main_effect`, `bnnas`, ...), or `default`
for that of the benchmark as it is; any field of its config is a flag, such as
`--config.method.score=sum`. Trainings are kept below `--workdir` and continued or
reused by the same command. Accuracies of the tables come from test sets; the supernet
sees the training set of CIFAR-10 only, less a tenth held out for validation.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence.evaluation import (
    agreement,
    baselines,
    evaluation,
    regrets,
)
from benchmarks.evidence.method_scores import (
    DEFAULT,
    Ranking,
    methods,
    stored,
    trained,
)
from benchmarks.evidence.scatter import scatter
from benchmarks.evidence.untrained import untrained
from benchmarks.provenance import machine, now
from difnas_jax.errors import InputError, require
from difnas_jax.ranking.correlation import CORRELATIONS, correlations
from difnas_jax.ranking.selection import cross_validate
from difnas_jax.ranking.tables import TABLES, BenchmarkTable
from difnas_jax.report.figures import indicator_heat_map, png
from difnas_jax.runtime import compilation, files
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.runtime.versions import versions

# The flag that says where scores come from -> what makes a ranking of it.
SOURCES = {"data": trained, "indicator": stored, "columns": untrained}
MODULE = "python -m benchmarks.evidence.judge"
VALIDATION = "images by which an accuracy is measured; default: all that are held out"
BENCHMARK = "nas_bench_macro"  # where none is named


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code, one of those of `runtime.shutdown`."""
    return exit_code(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> None:
    flags, config_flags = parse_flags(argv)
    table = TABLES[flags.benchmark](flags.table)
    (source,) = (name for name in SOURCES if getattr(flags, name))
    ranked = SOURCES[source](flags, config_flags, table)
    if len(np.unique(ranked.table.network)) < 2:
        raise InputError(
            "--table: expected two networks that the method can find, "
            f"{flags.table} has {len(np.unique(ranked.table.network))}"
        )
    result = {
        "command": " ".join([MODULE, *argv]),
        "name": ranked.name,
        "benchmark": flags.benchmark,
        "table": flags.table.name,
        **ranked.about,
        **evaluation(ranked.scores, ranked.table),
        "baselines": null_rows(ranked.table),
        **_others(ranked),
        "date": now(),
        "machine": machine(),
        "versions": versions(),
    }
    folder = flags.output or Path("runs") / flags.benchmark / f"result-{ranked.name}"
    write(folder, result, ranked)
    say("\n".join([*lines(result), f"written: {folder}", json.dumps(result)]))


def parse_flags(
    argv: Sequence[str] | None,
) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and those that override fields of the config.

    Raises:
      InputError: not one of `SOURCES`, or a number out of range.
    """
    parser = Parser(
        prog=MODULE,
        description="A method, or a stored indicator, against a benchmark table.",
        epilog="Fields of the config are flags too: --config.supernet.batch_size=128.",
    )
    add = parser.add_argument
    add("--benchmark", choices=TABLES, default=BENCHMARK)
    add("--table", type=Path, required=True, metavar="FILE", help="as published")
    add("--data", metavar="FILE", help="CIFAR-10, an .npz file as `arrays` reads it")
    add("--indicator", type=Path, metavar="FILE", help="indicator.npz to evaluate")
    add("--columns", type=Path, metavar="FOLDER", help="of `rank`, to evaluate")
    add("--combine", metavar="COMBINER:NAME+NAME", help="of these columns")
    add("--method", default=DEFAULT, help=f"one of {', '.join(methods())}")
    add("--updates", type=int, default=2000, help="of the supernet")
    add("--size", type=int, default=32, help="side of the images in pixels")
    add("--seeds", default="0", metavar="N,N,...")
    add("--networks", type=int, default=0, metavar="N", help="random so many; 0: all")
    add("--validation", type=int, default=sys.maxsize, metavar="N", help=VALIDATION)
    add("--ideas", action="store_true", help="also score by gradients of the gammas")
    add("--workdir", type=Path, metavar="FOLDER", help="default: runs/BENCHMARK")
    add("--output", type=Path, metavar="FOLDER")
    flags, config_flags = parser.parse_known_args(argv)
    given = [f"--{name}" for name in SOURCES if getattr(flags, name)]
    one = f"one of --{', --'.join(SOURCES)}"
    require(len(given) == 1, "scores", one, " and ".join(given) or "none")
    found = flags.combine or "nothing"
    require(flags.columns is None or flags.combine, "--combine", "a combination", found)
    require(flags.validation > 0, "--validation", "at least 1", flags.validation)
    if flags.networks < 0 or flags.networks == 1:
        raise InputError(f"--networks: expected 0 or 2 and more, got {flags.networks}")
    flags.workdir = flags.workdir or Path("runs") / flags.benchmark
    return flags, config_flags


def null_rows(table: BenchmarkTable) -> dict[str, Any]:
    """Correlations and regret of `baselines`, by name."""
    networks = table[table.first_of_network]
    rows = {}
    for name, scores in baselines(networks).items():
        row = correlations(scores, networks.accuracies, networks.network)
        rows[name] = {**row, "regret": regrets(scores, networks)}
    return rows


def _others(ranked: Ranking) -> dict[str, Any]:
    """Every additive score that the supernets give, and the choice among them."""
    first = ranked.table.first_of_network
    networks, rows = ranked.table[first], {}
    scores = {name: values[:, first] for name, values in ranked.others().items()}
    for name, values in scores.items():
        row = correlations(values, networks.accuracies, networks.network)
        rows[name] = {**row, "agreement": agreement(values)}
    if not scores:
        return {"other_scores": {}, "cross_validation": None}
    counted = baselines(networks)["layer count"][:1]
    scores["layer count"] = np.repeat(counted, len(ranked.scored), axis=0)
    choice = cross_validate(scores, networks.accuracies)
    return {"other_scores": rows, "cross_validation": choice}


def lines(result: dict[str, Any]) -> list[str]:
    """The result as a table to read."""
    head = f"{'score':<34} {'n':>5} {'tau-b':>6} {'95 %':>14} {'rho':>6} {'w-tau':>6}"
    rows = {"networks": result, "names": result["strings"]}
    rows["networks without identity"] = result["no_identity"]
    rows |= {f"networks on {name}": row for name, row in result["data_sets"].items()}
    for band in result["macs_bands"]:
        rows[f"{band['above']} to {band['up_to']} M MACs"] = band
    rows |= {f"also: {name}": row for name, row in result["other_scores"].items()}
    rows |= {f"baseline: {name}": row for name, row in result["baselines"].items()}
    shown = [_line(name, row) for name, row in rows.items()]
    for name, judged in {"CIFAR-10": result, **result["data_sets"]}.items():
        shown += [f"{name}, {_found(row)}" for row in judged["regret"]]
    if choice := result["cross_validation"]:
        times = ", ".join(f"{name} {n}" for name, n in choice["chosen"].items())
        shown.append(
            f"chosen on half of the networks, {choice['splits']} times: {times}; "
            f"tau-b on the other half {choice['tau_b']:.3f}"
        )
    return [head, *shown]


def _found(row: dict[str, Any]) -> str:
    budget = "any" if row["budget"] is None else f"{row['budget'] // 10**6} M"
    return (
        f"best under {budget} MACs: {', '.join(row['found'])}, regret "
        f"{row['regret']:.2f} (the table's best: {row['best']}, "
        f"{row['best_accuracy']:.2f} %)"
    )


def _line(name: str, row: dict[str, Any]) -> str:
    interval = row["tau_b_interval"]
    between = "" if interval is None else "{:.3f} to {:.3f}".format(*interval)
    numbers = [row[key] for key in CORRELATIONS]
    tau, rho, weighted = ("" if x is None else f"{x:.3f}" for x in numbers)
    return f"{name:<34} {row['n']:>5} {tau:>6} {between:>14} {rho:>6} {weighted:>6}"


def write(folder: Path, result: dict[str, Any], ranked: Ranking) -> None:
    """Write `result.json`, `scores.csv`, `scatter.png` and, of a sum, `scores.png`."""
    table = ranked.table
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "result.json", result)
    with files.atomic_write(folder / "scores.csv") as file:
        rows = csv.writer(file, lineterminator="\n")
        seeds = [f"score_{number}" for number in range(len(ranked.scored))]
        rows.writerow(("architecture", "network", "accuracy", "macs", "params", *seeds))
        costs = table.costs["macs"], table.costs["params"]
        columns = table.network, table.accuracies, *costs
        for name, *numbers, row in zip(
            table.names, *columns, ranked.scores.T, strict=True
        ):
            rows.writerow((name, *(n.item() for n in numbers), *row.tolist()))
    networks = table.first_of_network
    tau = result["tau_b"]
    title = f"{result['name']}: " + ("no tau" if tau is None else f"tau-b {tau:.3f}")
    pictures = {
        "scatter": scatter(ranked.scores[:, networks].mean(0), table[networks], title)
    }
    tables = [one.table for one in ranked.scored if one.table is not None]
    if tables:
        pictures["scores"] = indicator_heat_map(
            np.mean(tables, axis=0), ranked.space, label="score"
        )
    for name, figure in pictures.items():
        with files.atomic_write(folder / f"{name}.png", "wb") as file:
            file.write(png(figure))


if __name__ == "__main__":
    compilation.suggest_kept_memory()
    sys.exit(main())
