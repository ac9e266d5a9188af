"""Measure speed, memory and traffic: `python -m benchmarks.speed [NAME ...]`.

Without names all of `MEASUREMENTS` run. What is not measured now keeps its earlier
result, and `speed/RESULTS.md` is made from all results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks import result_files
from benchmarks.provenance import PACKAGES, provenance
from benchmarks.speed import page
from benchmarks.speed.measurements import MEASUREMENTS
from benchmarks.speed.network import SEED
from difnas_jax.errors import InputError
from difnas_jax.runtime.shutdown import Parser, exit_code

VERSIONS = (*PACKAGES, "torch", "pillow")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write; returns the exit code."""
    return exit_code(lambda: _measure(_flags(argv).names or list(MEASUREMENTS)))


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m benchmarks.speed",
        description="Measure speed, memory and traffic of training and search.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS)
    )
    return parser.parse_args(argv)


def _measure(names: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in MEASUREMENTS]:
        raise InputError(
            f"NAME: expected some of {', '.join(MEASUREMENTS)}; got "
            f"{', '.join(unknown)}"
        )
    for name in names:
        print(name, file=sys.stderr, flush=True)
        source = provenance(f"python -m benchmarks.speed {name}", SEED, VERSIONS)
        known = result_files.load(page.RESULTS)
        known[name] = {**source, "values": MEASUREMENTS[name]()}
        page.write({key: known[key] for key in MEASUREMENTS if key in known})
    print(page.PAGE.read_text())


if __name__ == "__main__":
    sys.exit(main())
