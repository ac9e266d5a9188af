"""Failures: one line for each, and the end of all processes where one fails.

A process that fails leaves the others in a collective that never returns, where no
exception reaches them. The failing process therefore posts its error to the key-value
store of JAX's coordination service. A thread in every process polls the store, prints
the error and ends its process; no process waits at its exit for one that is gone.
Checkpoints and artefacts are complete or absent at any moment, so nothing is damaged.
"""

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, NoReturn

import jax
from jax.errors import JaxRuntimeError
from orbax.checkpoint import multihost

from difnas_jax.errors import InputError, TrainingError
from difnas_jax.runtime.disk_errors import FULL_DISK, UNUSABLE
from difnas_jax.runtime.output import show

FAILURE_KEY, BARRIER = "difnas_jax/failure", "difnas_jax/failure_seen"
# Seconds between two polls, and seconds for which the first process that fails waits
# until all others have seen its error. Process 0 hosts the store, and a process that
# loses it is aborted by XLA: it stays for some seconds after the others may leave.
POLL_SECONDS, GRACE_SECONDS, LAST_SECONDS = 1.0, 30.0, 4.0
DIED = "another process has died; the same command continues"

_ending = threading.Lock()


def describe_error(
    error: BaseException, interrupted: str = ""
) -> tuple[str, int | None]:
    """One line about an error and the exit code.

    Of an unexpected error, a defect of the program, it is a traceback and None.
    """
    if isinstance(error, KeyboardInterrupt):
        return f"stopped; {interrupted}", 130
    if isinstance(error, InputError | TrainingError):
        return f"error: {error}", 2 if isinstance(error, InputError) else 1
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        path, reason = error.filename or "output", error.strerror
        full = f"error: {path}: expected space to write, the disk is full ({reason})"
        return f"{full}; make space, and run the same command again", 1
    if isinstance(error, OSError) and error.errno in UNUSABLE and error.filename:
        expected = "a file or folder that can be read and written, it cannot"
        unusable = f"error: {error.filename}: expected {expected} ({error.strerror})"
        return f"{unusable}; mend that, and run the same command again", 1
    return "".join(traceback.format_exception(error)).rstrip(), None


@contextlib.contextmanager
def watch_for_failures() -> Iterator[None]:
    """End this process when another one fails; `abort_all` is called outside of it."""
    if not jax.distributed.is_initialized():
        yield
        return
    finished, client = threading.Event(), multihost.get_jax_distributed_client()

    def poll() -> None:
        while not finished.wait(POLL_SECONDS):
            with contextlib.suppress(JaxRuntimeError):  # no failure is posted
                _end(client, *json.loads(client.key_value_try_get(FAILURE_KEY)))

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def abort_all(text: str, code: int | None) -> None:
    """End all processes because this one has failed; returns where it is the only one.

    Args:
      text: the error, which the others print after the number of this process.
      code: exit code of all processes, or None for an unexpected error. If all other
        processes are alive to see such an error, it is a defect of the program and the
        code is 1; otherwise it is taken for a consequence of the death of one of them,
        and the code is that of a run that can be continued.
    """
    if not jax.distributed.is_initialized():
        return
    client = multihost.get_jax_distributed_client()
    failure = json.dumps([f"process {jax.process_index()}: {text}", code])
    with contextlib.suppress(JaxRuntimeError):  # another process posted one before
        client.key_value_set(FAILURE_KEY, failure)
    _end(client, text, code)


def _end(client: Any, text: str, code: int | None) -> NoReturn:
    """Wait until all processes have seen the error, print it and end this process."""
    _ending.acquire()  # never released: a second thread waits until the first one exits
    try:
        client.wait_at_barrier(BARRIER, int(1000 * GRACE_SECONDS))
        time.sleep(0 if jax.process_index() else LAST_SECONDS)
    except JaxRuntimeError:
        if code is None:
            text, code = f"{text}\n{DIED}", os.EX_TEMPFAIL
    finally:  # also where the wait is interrupted
        end_process(text, 1 if code is None else code)


def end_process(text: str, code: int) -> NoReturn:
    """Print a line and end this process where it is, whatever its threads do."""
    try:
        show(text, sys.stderr)
    finally:
        os._exit(code)
