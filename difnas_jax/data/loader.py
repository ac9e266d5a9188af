"""Reading: the batches of the next steps, made ahead by a thread or by processes."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from difnas_jax.data.base import Examples
from difnas_jax.data.prefetch import prefetch
from difnas_jax.errors import InputError


class Batches(Protocol):
    """Step -> batch, a pure function."""

    @property
    def split(self) -> Examples:
        """What they are made of."""
        ...

    def __getitem__(self, step: int) -> dict[str, Any]:
        """The batch of a step; "corrupt" says which rows could not be read, and why."""
        ...


class Reader(Iterator[Any]):
    """Batches in the order of their steps, made ahead.

    By `split.workers` processes through Grain, or on a thread where that is 0: the
    batches are the same. Close it, or use it in a `with`, where it may be left early.

    Attributes:
      corrupt: images so far that could not be read; each is named once in a warning.
    """

    def __init__(
        self,
        batches: Batches,
        steps: range,
        place: Callable[[Any], Any] = lambda batch: batch,
    ) -> None:
        """Begin.

        Args:
          batches: step -> batch.
          steps: which, in order.
          place: batch -> what is given out; on the thread that works ahead.
        """
        self.corrupt = 0
        self._place = place
        workers = batches.split.workers
        self._processes = in_processes(batches, steps, workers) if workers else None
        self._made = self._processes or map(batches.__getitem__, steps)
        self._ahead = prefetch(lambda _: self._next(), steps)

    def _next(self) -> Any:
        batch = next(self._made)
        corrupt = batch.pop("corrupt", {})
        self.corrupt += len(corrupt)
        for reason in corrupt.values():
            warnings.warn(f"left out a corrupt image: {reason}", stacklevel=2)
        return self._place(batch)

    def __next__(self) -> Any:
        """The next batch.

        Raises:
          InputError: an image that cannot be read, unless those are skipped.
        """
        return next(self._ahead)

    def __enter__(self) -> Reader:
        """Itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """End the thread and the processes."""
        self._ahead.close()
        if self._processes is not None:
            self._processes.close()


def check_workers(workers: int) -> None:
    """Raise `InputError` where worker processes are wanted and Grain is missing."""
    if workers and importlib.util.find_spec("grain") is None:
        raise InputError(
            f"data.workers: expected 0, {workers} worker processes need Grain; "
            "pip install 'difnas_jax[tfds]'"
        )


def in_processes(batches: Batches, steps: range, workers: int) -> Any:
    """An iterator of Grain over `batches[step]`; its order is that of the steps.

    A worker makes every `workers`-th batch and keeps one ready.
    """
    import grain
    from absl import flags

    if not flags.FLAGS.is_parsed():
        # Grain reads flags of absl, which only `absl.app` parses: not a notebook, not
        # pytest, and not this program.
        flags.FLAGS.mark_as_parsed()
    made = grain.MapDataset.range(steps.start, steps.stop).map(batches.__getitem__)
    in_order = made.to_iter_dataset(grain.ReadOptions(0, 0))
    options = grain.MultiprocessingOptions(num_workers=workers)
    return iter(in_order.mp_prefetch(options, worker_init_fn=_start_worker))


def _start_worker(index: int, count: int) -> None:
    """Let the parent decide when a worker ends, also where it was killed."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
