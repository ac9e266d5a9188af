"""One program in a process of its own: `python -m benchmarks.speed.worker NAME`.

Sets up, warms up, says `ready`, and then answers every number of path sets on standard
input with a line of JSON: the seconds of each update.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.speed import network
from benchmarks.speed.programs import PROGRAMS, THREADS, TimedProgram

# The first run of a branch is slow: two sets visit every branch twice.
WARM_UP_SETS = 2


def main(name: str) -> None:
    """Serve a program until standard input ends."""
    cores = sorted(os.sched_getaffinity(0))[:THREADS]
    os.sched_setaffinity(0, cores)
    program = PROGRAMS[name]
    update = importlib.import_module(f"benchmarks.speed.{program.module}").build(
        program
    )
    layers = network.SPACES[program.space]().num_layers
    sets = network.path_sets(program.paths, layers)
    timed(program, update, sets, WARM_UP_SETS)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(timed(program, update, sets, int(line))), flush=True)


def timed(
    program: TimedProgram,
    update: Callable[[np.ndarray], float | None],
    sets: Iterator[np.ndarray],
    count: int,
) -> list[float]:
    """Run so many sets of paths; the seconds of each update."""
    seconds = []
    for paths in itertools.islice(sets, count):
        for part in [paths] if program.together else np.split(paths, len(paths)):
            start = time.perf_counter()
            counted = update(part)
            taken = time.perf_counter() - start
            seconds.append(taken if counted is None else counted)
    return seconds


if __name__ == "__main__":
    main(sys.argv[1])
