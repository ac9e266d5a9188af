"""All rows of the evidence: which choice ranks the networks of NAS-Bench-Macro best.

    python -m benchmarks.evidence --data=cifar10.npz \
        --table=nas-bench-macro_cifar10.json [ROW ...]

Each row is a command of `benchmarks.evidence.judge`, which is printed and
kept with its numbers in `results.csv`; `EVIDENCE.md` is made from these. Without names
the rows run that have no result yet.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.evidence import judge, page, results
from benchmarks.evidence.rows import ROWS
from difnas_jax.errors import InputError
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
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--data", required=True, metavar="FILE")
    parser.add_argument("--table", required=True, metavar="FILE")
    return parser.parse_args(argv)


def _run(flags: argparse.Namespace) -> None:
    if unknown := [name for name in flags.rows if name not in ROWS]:
        raise InputError(
            f"ROW: expected some of {', '.join(ROWS)}; got {', '.join(unknown)}"
        )
    kept = results.load()
    for name in flags.rows or [name for name in ROWS if name not in kept]:
        result = _measured(name, flags)
        kept[name] = results.quantities(result)
        if name == next(iter(ROWS)):
            kept |= results.baseline_quantities(result)
        page.write(_in_order(kept))


def _measured(name: str, flags: argparse.Namespace) -> dict[str, Any]:
    """The result of one row; its command names the files without their folders."""
    folder = Path("runs") / "evidence" / name
    options = f"--size={ROWS[name].size}", *ROWS[name].flags
    inputs = f"--data={flags.data}", f"--table={flags.table}"
    arguments = [*inputs, *options, f"--output={folder}"]
    say(f"=== {name}: {' '.join(arguments)}")
    if judge.main(arguments):
        raise InputError(f"{name}: its command failed with the error above")
    result = files.read_json(folder / "result.json")
    named = f"--data={Path(flags.data).name}", f"--table={Path(flags.table).name}"
    result["command"] = " ".join([judge.MODULE, *named, *options])
    return result


def _in_order(kept: results.Results) -> results.Results:
    """The rows as `ROWS` has them, then the baselines."""
    rows = {name: kept[name] for name in ROWS if name in kept}
    return rows | {name: row for name, row in kept.items() if name not in rows}


if __name__ == "__main__":
    compilation.suggest_kept_memory()
    sys.exit(main())
