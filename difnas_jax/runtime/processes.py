"""Processes: a run on several hosts is the same program on each.

All processes do the same work and meet in collectives; only process 0 writes files and
prints. Whatever must be equal on all of them is compared: processes that differ wait
for each other for ever or, worse, mix different numbers silently.
"""

import json
import os
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from difnas_jax.errors import InputError, one_line, require

# Variables that describe a job on a cluster that JAX does not recognise.
COORDINATOR = "JAX_COORDINATOR_ADDRESS"
PROCESSES, PROCESS = "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
BETWEEN_SIGNS = 9.5  # seconds between two lines of a process that waits for others

Result = TypeVar("Result")


def is_main_process() -> bool:
    """Whether this process is the one that writes files and prints."""
    return jax.process_index() == 0


def number_of_processes() -> int:
    """How many processes this job has, by its environment; no device is asked for.

    It is `JAX_NUM_PROCESSES` or else what JAX finds on a TPU pod, SLURM, Open MPI or
    Kubernetes. Where nothing is found, or JAX fails to ask the cluster, it is 1.
    """
    given = _number_from(PROCESSES)
    try:
        # A pod of Kubernetes without its Python package is warned about.
        with warnings.catch_warnings(action="ignore"):
            return (_detected_processes() or 1) if given is None else given
    except Exception as error:  # of the client of any cluster
        print(
            "processes: this one runs alone, JAX fails to detect the others "
            f"({one_line(error)}); --distributed joins them",
            file=sys.stderr,
        )
        return 1


def _detected_processes() -> int | None:
    """The number of processes of a cluster that JAX knows, None where there is none.

    `jax.distributed.initialize` detects it too, but joins at once, also where there is
    one process alone, and SLURM's then sees one GPU only. The module is private:
    without it nothing is detected, and --distributed is needed.
    """
    try:
        from jax._src.clusters import ClusterEnv

        detect = ClusterEnv.auto_detect_unset_distributed_params
    except (ImportError, AttributeError):
        return None
    # The cluster is asked for what is None, and so for the number alone.
    return detect(
        coordinator_address="",
        num_processes=None,
        process_id=0,
        local_device_ids=(),
        cluster_detection_method=None,
        initialization_timeout=None,
    )[1]


def join_others(joins: bool | None, timeout: float) -> None:
    """Join the other processes of this job, where it has any or the flag says so.

    Args:
      joins: the flag `--distributed`; None: where the job has more than one process.
      timeout: the flag `--join-timeout`, see `join`.

    Raises:
      InputError: see `join`.
    """
    if joins is None:
        joins = number_of_processes() > 1
    if joins:
        join(timeout)


def join(timeout: float) -> None:
    """Join the other processes of this job, before anything asks for devices.

    TPU pods, SLURM, Open MPI and Kubernetes are recognised by JAX; elsewhere
    `JAX_COORDINATOR_ADDRESS` (host:port of process 0), `JAX_NUM_PROCESSES` and
    `JAX_PROCESS_ID` describe it.

    Args:
      timeout: seconds to wait for the others, after which the process ends with one
        line and exit code 2.

    Raises:
      InputError: the processes of the job are not known, or cannot be joined.
    """
    count, index = _number_from(PROCESSES), _number_from(PROCESS)
    at = os.environ.get(COORDINATOR, "the address that the cluster gives")
    late = (
        f"--distributed: expected {count or 'all'} processes to join at {at} within "
        f"{timeout:g} s, some did not; start every one of them, where it can reach "
        "process 0, give them more time with --join-timeout, or use --no-distributed"
    )
    # A call that hangs in XLA cannot be interrupted, and JAX itself would end the
    # process with a core dump, a minute later.
    joined = threading.Event()
    watch = threading.Thread(target=_watch, args=(joined, timeout, late), daemon=True)
    watch.start()
    try:
        patience = int(timeout) + 60
        jax.distributed.initialize(
            num_processes=count, process_id=index, initialization_timeout=patience
        )
        jax.devices()  # those of all processes: waits for them, too
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"--distributed: expected a cluster that JAX knows, or {COORDINATOR}, "
            f"{PROCESSES} and {PROCESS} in the environment; JAX reports: "
            + one_line(error)
        ) from error
    finally:
        joined.set()
        watch.join()


def _number_from(variable: str) -> int | None:
    text = os.environ.get(variable)
    if text is None:
        return None
    require(text.isdecimal(), variable, "a whole number", repr(text))
    return int(text)


def _watch(joined: threading.Event, timeout: float, late: str) -> None:
    """Say now and then that this process waits for others, and end it at the timeout.

    Which one is process 0 is not known before they have joined: all say so.
    """
    start = time.monotonic()
    end = start + timeout
    while not joined.wait(min(BETWEEN_SIGNS, max(end - time.monotonic(), 0.0))):
        if time.monotonic() >= end:
            _end(late)
        waited = f"{time.monotonic() - start:.0f} of {timeout:g} s"
        text = f"processes: waiting for the others of this job for {waited}"
        print(text, file=sys.stderr, flush=True)


def _end(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(2)


def gather_texts(text: str) -> list[str]:
    """The text of each process, by process. No process returns before all call it."""
    if jax.process_count() == 1:
        return [text]
    own = np.frombuffer(text.encode(), np.uint8)
    longest = multihost_utils.process_allgather(np.int32(len(own))).max()
    # Rows of equal length, which is not 0.
    padded = np.pad(own, (0, longest + 1 - len(own)))
    rows = multihost_utils.process_allgather(padded)
    return [row.tobytes().rstrip(b"\0").decode() for row in rows]


def on_all_processes(work: Callable[[], Result]) -> Result:
    """Do the work on every process, and wait until all have done it.

    A failure of one process ends all (`failures.py`).
    """
    result = work()
    multihost_utils.sync_global_devices("difnas_jax: work done on all processes")
    return result


def check_same(what: str, values: Mapping[str, Any]) -> None:
    """Refuse values, compared as JSON, that are not the same on all processes.

    Args:
      what: what the values describe, for the error.
      values: by name.

    Raises:
      InputError: on all processes, naming the first value that differs and a process.
    """
    texts = gather_texts(json.dumps(dict(values), default=str))
    first, *others = map(json.loads, texts)
    for process, other in enumerate(others, start=1):
        for name in sorted(first.keys() | other.keys()):
            here, there = (known.get(name, "absent") for known in (first, other))
            if here != there:
                raise InputError(
                    f"{what}: expected the same on all processes, but {name} is "
                    f"{here!r} on process 0 and {there!r} on process {process}; start "
                    "all with the same command, code, data and --workdir"
                )


def check_shared(written: Path) -> None:
    """Refuse a folder that is not the same one for all processes.

    Args:
      written: a file in it that process 0 has just written.

    Raises:
      InputError: on all processes, naming one that sees another file or none.
    """
    # No process may look for the file before it is written.
    multihost_utils.sync_global_devices("difnas_jax: shared file written")
    try:
        with open(written) as file:  # upon which a network file system looks again
            seen: Any = os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        seen = error.strerror
    check_same(f"{written.parent}, a folder that all share", {written.name: seen})


def check_same_arrays(what: str, tree: Any) -> None:
    """Refuse arrays that do not have the same bytes on all processes.

    Args:
      what: what the arrays are, for the error.
      tree: arrays, complete on every process.

    Raises:
      InputError: on all processes, naming the first array that differs.
    """
    if jax.process_count() == 1:
        return
    checksums = {
        jax.tree_util.keystr(path): zlib.crc32(np.asarray(leaf).tobytes())
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
    check_same(f"{what}, checksums", checksums)
