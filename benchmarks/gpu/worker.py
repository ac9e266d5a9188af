"""One part in a process of its own: `python -m benchmarks.gpu.worker NAME FOLDER`.

The system ends the process at the limit of the part, wherever it is: a handler in
Python would wait for the compiler.
"""

from __future__ import annotations

import argparse
import importlib
import signal
from pathlib import Path

from benchmarks.gpu.session import Session


def main() -> None:
    """Measure the part of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--limit", type=float)
    parser.add_argument("--module")
    flags = parser.parse_args()
    session = Session(flags.name, flags.folder, flags.small)
    part = session.part
    limit = part.limit if flags.limit is None else flags.limit
    signal.setitimer(signal.ITIMER_REAL, limit)
    module = importlib.import_module(f"benchmarks.gpu.{flags.module or part.module}")
    module.measure(session)


if __name__ == "__main__":
    main()
