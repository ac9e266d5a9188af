r"""All rows of the evidence: which choice ranks the networks of a table best.

    python -m benchmarks.evidence --data=cifar10.npz --columns=runs/rank \
        --table=nas-bench-macro_cifar10.json [ROW ...]

Each row is a command of `benchmarks.evidence.judge`, which is printed and kept with its
numbers in `results/`; `EVIDENCE.md` and the picture of `docs/evidence.md` are made from
these. Without names the rows run that have no result yet; `--pages` makes page and
picture alone. `--columns` is the folder of

    difnas-jax rank nas_bench_macro --table=nas-bench-macro_cifar10.json \
        --data=cifar10.npz --scores=swap,expressivity --repeats=3 --workdir=runs/rank
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.evidence import judge, page, results
from benchmarks.evidence.rows import ROWS, Row
from difnas_jax.errors import InputError, require
from difnas_jax.ranking.tables import TABLES
from difnas_jax.runtime import compilation, files
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rows; returns the exit code."""
    return exit_code(lambda: _run(_flags(argv)))


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m benchmarks.evidence", description="Measure all rows, or some."
    )
    add = parser.add_argument
    add("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    add("--data", metavar="FILE")
    add("--columns", metavar="FOLDER")
    add("--table", required=True, metavar="FILE")
    known = sorted({row.benchmark for row in ROWS.values()})
    add("--benchmark", choices=known, default=judge.BENCHMARK)
    add("--workdir", default="runs/evidence", metavar="FOLDER", help="of trainings")
    add("--pages", action="store_true", help="from the numbers that are kept")
    return parser.parse_args(argv)


def _run(flags: argparse.Namespace) -> None:
    rows = {n: row for n, row in ROWS.items() if row.benchmark == flags.benchmark}
    if unknown := [name for name in flags.rows if name not in rows]:
        raise InputError(
            f"ROW: expected some of {', '.join(rows)}; got {', '.join(unknown)}"
        )
    kept = results.load(flags.benchmark)
    table = TABLES[flags.benchmark](Path(flags.table))
    kept |= results.null_quantities(judge.null_rows(table))
    missing = [name for name in rows if name not in kept and not flags.pages]
    for name in flags.rows or missing:
        kept[name] = results.quantities(_measured(name, rows[name], flags))
        page.write(_in_order(kept), flags.benchmark)
    page.write(_in_order(kept), flags.benchmark)


def _measured(name: str, row: Row, flags: argparse.Namespace) -> dict[str, Any]:
    """The result of one row; its command names the files without their folders."""
    source = getattr(flags, row.reads)
    require(source is not None, f"--{row.reads}", f"what {name} reads", "nothing")
    inputs = {row.reads: source, "table": flags.table}
    options = f"--benchmark={flags.benchmark}", f"--size={row.size}", *row.flags
    folder = Path(flags.workdir)
    given = [f"--{flag}={value}" for flag, value in inputs.items()]
    own = f"--workdir={folder}", f"--output={folder / 'results' / name}"
    arguments = [*given, *options, *own]
    say(f"=== {name}: {' '.join(arguments)}")
    if judge.main(arguments):
        raise InputError(f"{name}: its command failed with the error above")
    result = files.read_json(folder / "results" / name / "result.json")
    named = [f"--{flag}={Path(value).name}" for flag, value in inputs.items()]
    result["command"] = " ".join([judge.MODULE, *named, *options])
    return result


def _in_order(kept: results.Results) -> results.Results:
    """The rows as `ROWS` has them, then those without training."""
    rows = {name: kept[name] for name in ROWS if name in kept}
    return rows | {name: row for name, row in kept.items() if name not in rows}


if __name__ == "__main__":
    compilation.suggest_kept_memory()
    sys.exit(main())
