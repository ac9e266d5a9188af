"""Seconds of an update on a device that works while the host goes on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

# Updates before the timed ones, updates of which each is waited for, and updates that
# are only waited for at the end.
WARM_UP, WAITED, PIPED = 3, 12, 24
SMALL = (1, 1, 2)


def seconds_of(
    update: Callable[[Any], None],
    wait: Callable[[], None],
    arguments: Iterator[Any],
    small: bool,
) -> dict[str, float]:
    """Time an update that has run once.

    Args:
      update: starts an update.
      wait: returns when all updates are done.
      arguments: of the updates, without end.
      small: a few updates only.

    Returns:
      `waited`: median of updates that are waited for; `piped`: mean of updates that
      follow each other without waiting, as those of a run do.
    """
    warm_up, waited, piped = SMALL if small else (WARM_UP, WAITED, PIPED)
    for _ in range(warm_up):
        update(next(arguments))
    wait()
    seconds = []
    for _ in range(waited):
        start = time.perf_counter()
        update(next(arguments))
        wait()
        seconds.append(time.perf_counter() - start)
    start = time.perf_counter()
    for _ in range(piped):
        update(next(arguments))
    wait()
    mean = (time.perf_counter() - start) / piped
    return {"waited": statistics.median(seconds), "piped": mean}
