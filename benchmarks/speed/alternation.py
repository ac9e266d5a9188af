"""Time several programs in turns, so that drift of the machine affects all alike."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.speed.programs import PROGRAMS

# Sets of paths in a turn; several, since the first update after a pause is slow.
SETS_OF_A_TURN = "3"


class Worker:
    """A program in a process of its own, which waits while another one is timed."""

    def __init__(self, name: str) -> None:
        """Start the process and wait until it is warm."""
        self._name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.speed.worker", name],
            env={**os.environ, **PROGRAMS[name].environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self, request: str = "") -> str:
        """Send a request, if any, and wait for one line.

        Raises:
          RuntimeError: the process ended; its own message is on standard error.
        """
        assert self._process.stdin and self._process.stdout
        if request:
            print(request, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"the program {self._name} ended before it answered; its error is above"
            )
        return line

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def alternate(names: Sequence[str], rounds: int) -> dict[str, Any]:
    """Time programs in turns.

    Args:
      names: keys of `PROGRAMS`; all stay in memory until the end.
      rounds: turns of each, `SETS_OF_A_TURN` a turn; who goes first rotates.

    Returns:
      {"seconds": {name: [mean seconds of an update, for each round]}}.
    """
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        workers = {name: worker for name, worker in _started(names, stack)}
        for turn in range(rounds):
            first = turn % len(names)
            for name in [*names[first:], *names[:first]]:
                updates = json.loads(workers[name].answer(SETS_OF_A_TURN))
                seconds[name].append(statistics.mean(updates))
    return {"seconds": seconds}


def _started(
    names: Sequence[str], stack: contextlib.ExitStack
) -> Iterator[tuple[str, Worker]]:
    """Start programs one after another, so that only one works at a time."""
    for name in names:
        print(f"  setting up {name}", file=sys.stderr, flush=True)
        worker = Worker(name)
        stack.callback(worker.close)
        worker.answer()
        yield name, worker
