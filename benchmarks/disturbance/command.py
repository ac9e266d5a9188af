"""Whether projected updates keep paths undisturbed, and what that costs.

    python -m benchmarks.disturbance --data=cifar10.npz \
        --table=nas_bench_macro_half.json [ROW ...]

Without names all rows run that have no numbers yet. Every training, a row with one of
its seeds, has a folder of its own in `--workdir`, is continued where it was stopped and
runs once: two processes with the same command, as `taskset -c 0` and `taskset -c 1`,
share the work. Each rewrites `disturbance.json`, the page `DISTURBANCE.md` and the
figure of all trainings that are done; `--pages` does that alone.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import result_files
from benchmarks.disturbance import costs, page
from benchmarks.disturbance.figure import disturbance_figure
from benchmarks.disturbance.measure import arguments, measured
from benchmarks.disturbance.rows import ROWS
from benchmarks.evidence.judge import MODULE
from benchmarks.provenance import provenance
from difnas_jax.errors import InputError
from difnas_jax.report import figures
from difnas_jax.runtime import files, locks
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code

RESULT = "result.json"  # of a training


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing; returns the exit code."""
    return exit_code(lambda: _run(_flags(argv)))


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.disturbance")
    add = parser.add_argument
    add("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    add("--data", default="", metavar="FILE", help="CIFAR-10, an .npz file")
    add("--table", default="", metavar="FILE", help="published JSON")
    add("--workdir", type=Path, default=Path("runs/disturbance"), metavar="FOLDER")
    add("--pages", action="store_true", help="train nothing")
    return parser.parse_args(argv)


def _run(flags: argparse.Namespace) -> None:
    if unknown := [name for name in flags.rows if name not in ROWS]:
        raise InputError(
            f"ROW: expected some of {', '.join(ROWS)}; got {', '.join(unknown)}"
        )
    if not flags.pages:
        inputs = f"--data={flags.data}", f"--table={flags.table}"
        for name, seed in _trainings(flags.rows or list(ROWS)):
            _measure(name, seed, inputs, flags.workdir)
    write(flags.workdir)


def _trainings(names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The first seed of all rows, then the next: every row has numbers early."""
    pairs = [(name, seed) for name in names for seed in ROWS[name].seeds]
    yield from sorted(pairs, key=lambda pair: pair[1])


def _measure(name: str, seed: int, inputs: Sequence[str], workdir: Path) -> None:
    """Train and keep the numbers, unless that is done or another process does it."""
    folder = workdir / f"{name}-{seed}"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.locked(folder))
        except InputError as error:
            say(str(error))
            return
        if (folder / RESULT).exists():
            return
        say(f"=== {name}, seed {seed}")
        result = measured(ROWS[name], seed, inputs, folder / "run")
        command = " ".join([MODULE, *arguments(ROWS[name], seed)])
        source = provenance(command, seed)
        files.write_json(folder / RESULT, {**source, "values": result})
    write(workdir)


def write(workdir: Path) -> None:
    """Keep the numbers of all trainings that are done, and make page and figure."""
    results = result_files.load(page.RESULTS)
    for name, row in ROWS.items():
        found = [workdir / f"{name}-{seed}" / RESULT for seed in row.seeds]
        if done := [files.read_json(path) for path in found if path.exists()]:
            runs = [one.pop("values") for one in done]
            seeds = [one["seed"] for one in done]
            results[name] = {**done[-1], "seed": seeds, "runs": runs}
    known = {name: results[name] for name in ROWS if name in results}
    kept = result_files.write(page.RESULTS, known)
    with files.atomic_write(page.PAGE) as file:
        file.write(page.page(kept, result_files.load(costs.RESULTS)))
    with files.atomic_write(page.FIGURE, "wb") as file:
        file.write(figures.png(disturbance_figure(kept)))
