"""Worker processes, those of Grain, that make batches."""

import gc
import importlib.util
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import numpy as np

from difnas_jax.data.batches import Batch, Batches
from difnas_jax.errors import TrainingError, require

# Where processes share memory; containers have 64 MB of it unless more is asked for.
SHARED = Path("/dev/shm")
MORE_SHARED = (
    "get more with docker run --shm-size=8g or, in Kubernetes, an emptyDir with "
    f"medium: Memory at {SHARED}"
)
# Exit code of a worker -> why, where the system ended it.
KILLED = {
    -signal.SIGBUS: f"{SHARED} is full; {MORE_SHARED}",
    -signal.SIGKILL: "most likely out of memory; fewer data.workers or smaller "
    "batches need less",
}


def check_workers(workers: int) -> None:
    """Refuse worker processes that cannot start.

    A worker that imports a script without a main guard would run all of it again: it
    ends here, with one line.

    Raises:
      InputError: Grain is missing.
    """
    if not workers:
        return
    # Only the import of the script, by a process that is about to begin, is inside it.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(
            'error: data.workers: expected the calls of the script below "if __name__ '
            "== '__main__':\", since every worker process imports it; got none"
        )
    fits = importlib.util.find_spec("grain") is not None
    got = f"{workers}; pip install grain"
    require(fits, "data.workers", "0 where Grain is not installed", got)


def check_shared_memory(workers: int, batch_bytes: int) -> None:
    """Refuse batches for which there is too little shared memory, before a run.

    A worker that fills it up is killed by the system, without a word.

    Args:
      workers: how many.
      batch_bytes: of the images of a batch, one byte a pixel and channel.

    Raises:
      InputError: naming what is needed, what is free and how to get more.
    """
    if not SHARED.is_dir():
        return
    status = os.statvfs(SHARED)
    # Of each worker a batch in the making and one that waits, and in this process two
    # more; beside these, one that is used and one that is being freed. A training keeps
    # its own while an evaluation has as many.
    needed = 2 * (4 * workers + 2) * batch_bytes if workers else 0
    free = status.f_bavail * status.f_frsize
    expected = f"{needed / 1e6:.1f} MB of free {SHARED} for {workers} workers"
    got = f"{free / 1e6:.1f} MB; {MORE_SHARED}, or take fewer workers, 0 needs none"
    require(needed <= free, "data.workers", expected, got)


class WorkerBatches(Iterator[Batch]):
    """`batches[step]` in the order of the steps, their raw part made by workers.

    A worker makes every n-th batch and keeps one ready.
    """

    def __init__(self, batches: Batches, steps: range) -> None:
        """Start the workers with the first batch.

        Args:
          batches: step -> batch; `split.workers` says how many workers.
          steps: the steps, in order.
        """
        import grain
        from absl import flags

        count = batches.split.workers
        check_workers(count)
        if not flags.FLAGS.is_parsed():
            # Grain reads flags of absl, which only `absl.app` parses, and neither this
            # program nor pytest nor a notebook uses that.
            flags.FLAGS.mark_as_parsed()
        _start_tracker()
        made = grain.MapDataset.range(steps.start, steps.stop).map(batches.raw)
        in_order = made.to_iter_dataset(grain.ReadOptions(0, 0))
        options = grain.MultiprocessingOptions(num_workers=count)
        self._finished = batches.finished
        self._raw: Any = iter(
            in_order.mp_prefetch(options, worker_init_fn=_start_worker)
        )

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
          TrainingError: a worker has died.
        """
        try:
            raw = next(self._raw)
            # What is shared is freed with the last reference to it: images become new
            # arrays anyhow, all others are copied. Neither stays of the type of Grain.
            for name in raw.keys() - {"corrupt"}:
                own = np.asarray if name == "image" else np.array
                raw[name] = own(raw[name])
            return self._finished(raw)
        except RuntimeError as error:
            code = str(error).partition("exit code ")[2].split(".")[0]
            if not code:
                raise
            why = {str(n): text for n, text in KILLED.items()}.get(code)
            why = why or "what it says is above"
            raise TrainingError(
                f"data.workers: a process that makes batches has ended ({code}): {why}"
                "; data.workers = 0 needs no processes; the same command continues"
            ) from error

    def close(self) -> None:
        """End the workers, and free what they share."""
        self._raw.close()
        # Arrays in shared memory are freed with the last reference, and Grain's
        # iterators refer to each other.
        del self._raw
        gc.collect()


def _start_tracker() -> None:
    """Start Python's process that frees what is shared, however this one ends.

    Where this process or a worker is killed it has something to free, which is no
    reason to warn a user.
    """
    before = os.environ.get("PYTHONWARNINGS", "")
    os.environ["PYTHONWARNINGS"] = f"{before},ignore:resource_tracker".lstrip(",")
    try:
        resource_tracker.ensure_running()
    finally:
        os.environ["PYTHONWARNINGS"] = before


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
