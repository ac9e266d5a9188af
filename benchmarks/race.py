"""Several contestants side by side: turns alternate, so that drift hits all of them."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.contestants import CONTESTANTS

# Sets of paths in a turn: training goes on and on, and an update after a rest is slow.
SETS_OF_A_TURN = "3"


class Worker:
    """A contestant in its process; it waits while others have their turn."""

    def __init__(self, name: str) -> None:
        """Start the process and wait until it is warm."""
        self._name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name],
            env={**os.environ, **CONTESTANTS[name].environment},
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
            raise RuntimeError(f"contestant {self._name} ended before it answered")
        return line

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def race(names: Sequence[str], rounds: int) -> dict[str, Any]:
    """Time contestants in turns.

    Args:
      names: keys of `CONTESTANTS`; all stay in memory until the end.
      rounds: turns of each, `SETS_OF_A_TURN` a turn; who goes first rotates.

    Returns:
      {"seconds": {name: [[seconds of each update] of each round]}}.
    """
    seconds: dict[str, list[list[float]]] = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        workers = {name: worker for name, worker in _started(names, stack)}
        for turn in range(rounds):
            first = turn % len(names)
            for name in [*names[first:], *names[:first]]:
                seconds[name].append(json.loads(workers[name].answer(SETS_OF_A_TURN)))
    return {"seconds": seconds}


def _started(
    names: Sequence[str], stack: contextlib.ExitStack
) -> Iterator[tuple[str, Worker]]:
    """Start contestants one after another, so that only one works at a time."""
    for name in names:
        print(f"  setting up {name}", file=sys.stderr, flush=True)
        worker = Worker(name)
        stack.callback(worker.close)
        worker.answer()
        yield name, worker


def by_round(result: dict[str, Any], name: str) -> list[float]:
    """The mean seconds of an update of a contestant, for each round."""
    return [statistics.mean(turn) for turn in result["seconds"][name]]
