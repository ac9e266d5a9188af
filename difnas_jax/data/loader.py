"""Make the batches of the next steps ahead, on a thread or in worker processes."""

import contextlib
import itertools
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from difnas_jax.data.batches import Batch, Batches, EvaluationBatches, Normalizer
from difnas_jax.data.examples import Examples
from difnas_jax.data.workers import WorkerBatches

Item = TypeVar("Item")


def prefetch(
    prepare: Callable[[int], Item], steps: Iterable[int], depth: int = 2
) -> Generator[Item, None, None]:
    """Yield `prepare(step)` of every step in order, prepared ahead on a thread.

    The thread ends with the iterator: close it (`contextlib.closing`) where a loop may
    be left early.

    Args:
      prepare: step -> item; numpy releases the interpreter's lock for large arrays.
      steps: the steps, in order.
      depth: items that are ready or in the making while the consumer has one.

    Yields:
      The items; an error of `prepare` is raised when its item is due.
    """
    pool = ThreadPoolExecutor(1, "prefetch")
    submitted = (pool.submit(prepare, step) for step in steps)
    waiting = deque(itertools.islice(submitted, depth))
    try:
        while waiting:
            ready = waiting.popleft()
            waiting.extend(itertools.islice(submitted, 1))
            yield ready.result()
    finally:
        pool.shutdown(cancel_futures=True)


class Loader(Iterator[Any]):
    """Batches in the order of their steps, made ahead.

    `split.workers` processes make them or, where that is 0, a thread; the batches are
    the same. Use it in a `with` statement, which ends the processes and the
    thread.

    Attributes:
      corrupt: number of images so far that could not be read; a warning names each.
    """

    def __init__(
        self,
        batches: Batches,
        steps: range,
        transfer: Callable[[Any], Any] = lambda batch: batch,
    ) -> None:
        """Begin to make batches.

        Args:
          batches: step -> batch.
          steps: the steps, in order.
          transfer: batch -> what the loader yields, such as the batch on the devices;
            it is called on the thread that works ahead.
        """
        self.corrupt = 0
        self._transfer = transfer
        self._open = contextlib.ExitStack()
        self._batches = map(batches.__getitem__, steps)
        if batches.split.workers:
            workers = WorkerBatches(batches, steps)
            self._batches = self._open.enter_context(contextlib.closing(workers))
        # Entered last, and so closed first.
        ahead = prefetch(lambda _: self._next(), steps)
        self._ahead = self._open.enter_context(contextlib.closing(ahead))

    def _next(self) -> Any:
        batch = next(self._batches)
        corrupt = batch.pop("corrupt", {})
        self.corrupt += len(corrupt)
        for reason in corrupt.values():
            warnings.warn(f"left out a corrupt image: {reason}", stacklevel=2)
        return self._transfer(batch)

    def __next__(self) -> Any:
        """The next batch.

        Raises:
          InputError: an image cannot be read, and such images are not to be skipped.
          TrainingError: a worker has died.
        """
        return next(self._ahead)

    def __enter__(self) -> Self:
        """The loader itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End the thread and the processes."""
        self._open.close()


def evaluation_batches(
    split: Examples,
    batch_size: int,
    normalizer: Normalizer,
    rows: slice = slice(None),
) -> Iterator[Batch]:
    """The batches of `EvaluationBatches` in order, made ahead."""
    batches = EvaluationBatches(split, batch_size, normalizer, rows)
    with Loader(batches, range(len(batches))) as loader:
        yield from loader
