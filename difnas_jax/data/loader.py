"""Make the batches of the next steps ahead, on a thread or in worker processes."""

import importlib.util
import itertools
import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from difnas_jax.data.batches import Batch, EvaluationBatches, Normalizer, TrainBatches
from difnas_jax.data.examples import Examples
from difnas_jax.errors import require

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

    `split.workers` processes of Grain make them or, where that is 0, a thread; the
    batches are the same. Use it in a `with` statement, which ends the processes and the
    thread.

    Attributes:
      corrupt: number of images so far that could not be read; a warning names each.
    """

    def __init__(
        self,
        batches: TrainBatches | EvaluationBatches,
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
        workers = batches.split.workers
        self._processes = _in_processes(batches, steps, workers) if workers else None
        self._batches = self._processes or map(batches.__getitem__, steps)
        self._ahead = prefetch(lambda _: self._next(), steps)

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
        """
        return next(self._ahead)

    def __enter__(self) -> Self:
        """The loader itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End the thread and the processes."""
        self._ahead.close()
        if self._processes is not None:
            self._processes.close()


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


def check_workers(workers: int) -> None:
    """Raise `InputError` where worker processes are asked for and Grain is missing."""
    fits = not workers or importlib.util.find_spec("grain") is not None
    got = f"{workers}; pip install grain"
    require(fits, "data.workers", "0 where Grain is not installed", got)


def _in_processes(
    batches: TrainBatches | EvaluationBatches, steps: range, workers: int
) -> Any:
    """An iterator of Grain over `batches[step]` in the order of the steps.

    A worker makes every `workers`-th batch and keeps one ready.
    """
    import grain
    from absl import flags

    if not flags.FLAGS.is_parsed():
        # Grain reads flags of absl, which only `absl.app` parses, and neither this
        # program nor pytest nor a notebook uses that.
        flags.FLAGS.mark_as_parsed()
    made = grain.MapDataset.range(steps.start, steps.stop).map(batches.__getitem__)
    in_order = made.to_iter_dataset(grain.ReadOptions(0, 0))
    options = grain.MultiprocessingOptions(num_workers=workers)
    return iter(in_order.mp_prefetch(options, worker_init_fn=_start_worker))


def _start_worker(index: int, count: int) -> None:
    """Let the parent alone decide when a worker ends, even if the parent is killed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
