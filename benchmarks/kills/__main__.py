"""Kill a run at random moments, again and again, and compare it with an unbroken one.

    python -m benchmarks.kills --kills=50 --seed=0

A small run of all stages (`small_run.py`), on digits that a worker process reads from
a data set of TFDS, is killed in every stage, by SIGKILL and SIGTERM in turn, after a
random share of the time that the stage takes or while a checkpoint is being written.
After each kill the same command continues the run. When a run has passed all stages it
is left to finish and is compared, and the next one begins. Writes `KILLS.md`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kills.campaign import campaign
from benchmarks.kills.data import DATA
from benchmarks.kills.page import PAGE, page
from difnas_jax.errors import TrainingError
from difnas_jax.runtime import files
from difnas_jax.runtime.shutdown import Parser, exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the test; the exit code is 1 if a run ended differently."""
    return exit_code(lambda: _test(_flags(argv)))


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.kills", description="Kill and compare.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", choices=DATA, default="tfds")
    parser.add_argument("--workdir", type=Path, help="a new folder by default")
    parser.add_argument("--page", type=Path, default=PAGE)
    return parser.parse_args(argv)


def _test(flags: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = (flags.workdir or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        data = DATA[flags.data](folder)
        kills, differing = campaign(folder, data, flags.kills, flags.seed)
    arguments = f"--kills={flags.kills} --seed={flags.seed} --data={flags.data}"
    with files.atomic_write(flags.page) as file:
        file.write(page(kills, differing, arguments))
    print(flags.page.read_text())
    if any(differing):
        raise TrainingError(f"{sum(map(bool, differing))} runs ended differently")


if __name__ == "__main__":
    sys.exit(main())
