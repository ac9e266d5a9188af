"""Work ahead: what the next steps need is prepared while the current one runs."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(
    prepare: Callable[[int], Item], steps: Iterable[int], depth: int = 2
) -> Generator[Item, None, None]:
    """Yield `prepare(step)` of every step in order, prepared ahead on a thread.

    The thread ends with the iterator: close it (`contextlib.closing`) where a loop may
    be left early.

    Args:
      prepare: step -> item; numpy's work on large arrays leaves the interpreter free.
      steps: the steps, in order.
      depth: items that are ready or in the making while the consumer has one.

    Yields:
      The items; what `prepare` raises is raised in the place of its item.
    """
    pool, ahead = ThreadPoolExecutor(1, "prefetch"), iter(steps)
    waiting = deque(
        pool.submit(prepare, step) for step in itertools.islice(ahead, depth)
    )
    try:
        while waiting:
            ready = waiting.popleft()
            waiting.extend(
                pool.submit(prepare, step) for step in itertools.islice(ahead, 1)
            )
            yield ready.result()
    finally:
        pool.shutdown(cancel_futures=True)
