"""Processes: a run on several hosts is the same program on each.

All processes do the same work and meet in collectives; process 0 alone writes and
speaks. What must be the same everywhere is compared: hosts that drift apart wait for
each other or, worse, mix their numbers silently.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.runtime.mesh import data_mesh, replicated, shard_batch

# How the processes of a job find each other where JAX does not know the cluster.
COORDINATOR = "JAX_COORDINATOR_ADDRESS"
PROCESSES, PROCESS = "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"

Result = TypeVar("Result")


def is_main_process() -> bool:
    """Whether this process writes files and shows progress."""
    return jax.process_index() == 0


def join(timeout: float) -> None:
    """Join the other processes of this job, before anything asks for devices.

    TPU pods, SLURM, Open MPI and Kubernetes are recognised by JAX; elsewhere
    `JAX_COORDINATOR_ADDRESS` (host:port of process 0), `JAX_NUM_PROCESSES` and
    `JAX_PROCESS_ID` say who is who.

    Args:
      timeout: seconds to wait for the others. When they are over, the process ends here
        with one line and exit code 2.

    Raises:
      InputError: nothing says which processes there are, or they cannot be joined.
    """
    count, index = _number_from(PROCESSES), _number_from(PROCESS)
    at = os.environ.get(COORDINATOR, "the address that the cluster gives")
    late = (
        f"--distributed: expected {count or 'all'} processes to join at {at} within "
        f"{timeout:g} s, some did not; start every one of them, where it can reach "
        "process 0, or give them more time with --join-timeout"
    )
    try:
        with _ends_after(timeout, late):
            # JAX itself would end the process with a core dump, a minute later.
            patience = int(timeout) + 60
            jax.distributed.initialize(
                num_processes=count, process_id=index, initialization_timeout=patience
            )
            jax.devices()  # those of all processes: waits for them, too
    except (ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"--distributed: expected a cluster that JAX knows, or {COORDINATOR}, "
            f"{PROCESSES} and {PROCESS} in the environment; JAX says: {reason}"
        ) from error


def _number_from(variable: str) -> int | None:
    text = os.environ.get(variable)
    if text is not None and not text.isdecimal():
        raise InputError(f"{variable}: expected a whole number, got {text!r}")
    return None if text is None else int(text)


@contextlib.contextmanager
def _ends_after(seconds: float, message: str) -> Iterator[None]:
    """End this process when time is over: what hangs in XLA cannot be interrupted."""

    def end() -> None:
        print(f"error: {message}", file=sys.stderr, flush=True)
        os._exit(2)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def gather(text: str) -> list[str]:
    """What each process says, by process; nobody goes on before all have spoken."""
    if jax.process_count() == 1:
        return [text]
    own = np.frombuffer(text.encode(), np.uint8)
    lengths = _gather_rows(np.array([len(own)], np.int32))[:, 0]
    rows = _gather_rows(np.pad(own, (0, max(1, *lengths) - len(own))))
    return [
        row[:length].tobytes().decode()
        for row, length in zip(rows, lengths, strict=True)
    ]


def _gather_rows(own: np.ndarray) -> np.ndarray:
    """[N], of each process -> [processes, N]; over all devices, as training does."""
    mesh = data_mesh()
    copies = np.tile(own, (jax.local_device_count(), 1))  # one for each device
    everywhere = jax.jit(_unchanged, out_shardings=replicated(mesh))
    rows = np.asarray(everywhere(shard_batch(copies, mesh)))
    owners = [device.process_index for device in mesh.devices]
    return rows[np.unique(owners, return_index=True)[1]]


def _unchanged(rows: jax.Array) -> jax.Array:
    return rows


def on_all_processes(work: Callable[[], Result]) -> Result:
    """Do the work on every process, and wait for the last.

    Where it fails on one, all end (`failures.py`).
    """
    result = work()
    gather("")
    return result


def check_same(what: str, values: Mapping[str, Any]) -> None:
    """Refuse values, as JSON, that are not the same on all processes.

    Raises:
      InputError: on all processes, naming the first value that differs and where.
    """
    first, *others = map(json.loads, gather(json.dumps(dict(values), default=str)))
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
    """Refuse a folder that is not the same for all processes.

    Args:
      written: a file in it that process 0 has just written.

    Raises:
      InputError: on all processes, naming one that does not see the file as it is.
    """
    gather("")  # written, and looked for by nobody before
    try:
        with open(written) as file:  # where a network file system looks again
            seen: Any = os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        seen = error.strerror
    check_same(f"{written.parent}, a folder that all share", {written.name: seen})


def check_same_arrays(what: str, tree: Any) -> None:
    """Refuse arrays, whole on every process, that are not the same bytes on all.

    Raises:
      InputError: on all processes, naming the first array that differs.
    """
    if jax.process_count() == 1:
        return
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    checksums = {
        jax.tree_util.keystr(path): zlib.crc32(np.asarray(leaf).tobytes())
        for path, leaf in leaves
    }
    check_same(f"{what}, checksums", checksums)
