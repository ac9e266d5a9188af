"""Bounds on the minimum eigenvalue of the NTK, and how well it ranks dense networks.

    python -m benchmarks.eigennas
    python -m benchmarks.eigennas mnist --data mnist.npz

Parts: `bounds`; `digits_scores`, random networks scored on the digits that are shipped;
the same trained, `digits`, `digits_few` on 128 images, those of the generalisation
bounds, and `digits_sgd` by SGD of one learning rate; and likewise `mnist_scores` and so
on, which read MNIST, or other square grey images of ten classes, from a file. A part
that was stopped continues where it was. Files: `eigennas.json`, the page `EIGENNAS.md`
that it makes, and `eigennas.png`.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import result_files
from benchmarks.eigennas import page
from benchmarks.eigennas.figure import eigennas_figure
from benchmarks.eigennas.networks import load
from benchmarks.eigennas.rows import PARTS, Row, bound_rows, networks_of
from benchmarks.provenance import provenance
from difnas_jax.errors import InputError, require
from difnas_jax.report import figures
from difnas_jax.runtime import compilation, files
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the page and write all files.

    Returns:
      The exit code, one of those of `runtime.shutdown`.
    """
    return exit_code(lambda: _measure(_flags(argv)))


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m benchmarks.eigennas",
        description="Bounds on the minimum eigenvalue, and its ranking of networks.",
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help="default: those of the digits")
    add("--output", type=Path, default=Path("runs/eigennas"), metavar="FOLDER")
    add("--data", default="", metavar="FILE", help=".npz of the parts of mnist")
    add("--networks", type=int, default=60, metavar="N", help="that are trained")
    add("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1")
    add("--updates", type=int, default=600, metavar="N", help="of each training")
    return parser.parse_args(argv)


def _measure(flags: argparse.Namespace) -> None:
    for name in ("networks", "seeds", "updates"):
        value = getattr(flags, name)
        require(value >= 1, f"--{name}", "at least 1", value)
    own = [part for part in PARTS if not _is_mnist(part)]
    parts, known = flags.parts or [page.BOUNDS, *own], (page.BOUNDS, *PARTS)
    for part in parts:
        require(part in known, "part", f"one of {', '.join(known)}", repr(part))
    if any(map(_is_mnist, parts)) and not Path(flags.data).is_file():
        raise InputError(f"--data: expected an .npz file, got {flags.data!r}")
    compilation.keep_compiled_programs("auto")
    file = flags.output / page.RESULTS
    for part in parts:
        results = result_files.load(file)
        settings = {name: getattr(flags, name) for name in _settings(part)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        if _is_mnist(part):
            options.append(f"--data={Path(flags.data).name}")
        command = " ".join(["python -m benchmarks.eigennas", part, *options])
        done = results.get(part, {})
        kept = done["rows"] if done.get("settings") == settings else None
        rows = [] if kept is None else result_files.as_rows(kept)
        for row in _rows(part, flags, len(rows)):
            rows.append(row)
            say(f"{part} {len(rows)}: {row}")
            source = provenance(command, list(range(flags.seeds)))
            table = result_files.as_columns(rows)
            results[part] = {**source, "settings": settings, "rows": table}
            result_files.write(file, results)
    write_page(flags.output)
    say(f"written: {flags.output}")


def _settings(part: str) -> tuple[str, ...]:
    """The flags on which a part depends."""
    if part == page.BOUNDS:
        return ("seeds",)
    return ("seeds", "networks", "updates")[: 3 if PARTS[part].descent else 2]


def _is_mnist(part: str) -> bool:
    return part in PARTS and PARTS[part].data == "mnist"


def _rows(part: str, flags: argparse.Namespace, done: int) -> Iterator[Row]:
    """The rows of a part from the first one that is missing."""
    space, splits = load(flags.data if _is_mnist(part) else "")
    seeds = range(flags.seeds)
    if part == page.BOUNDS:
        yield from itertools.islice(
            bound_rows(space, splits["train"], seeds), done, None
        )
        return
    missing = networks_of(space, flags.networks)[done:]
    if missing:
        yield from map(PARTS[part].row_of(space, splits, seeds, flags.updates), missing)


def write_page(folder: Path) -> None:
    """Make page and figure of the kept results."""
    results = result_files.load(folder / page.RESULTS)
    with files.atomic_write(folder / page.PAGE) as file:
        file.write(page.page(results))
    with files.atomic_write(folder / page.FIGURE, "wb") as file:
        file.write(figures.png(eigennas_figure(results)))
