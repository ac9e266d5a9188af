"""Failures: a process that fails ends all processes of the run, with its own message.

A process that fails leaves the others in a collective that never returns, where no
exception reaches them. The failing process therefore posts its error to the key-value
store of JAX's coordination service. A thread in every process polls the store, prints
the error and ends its process; no process waits at its exit for one that is gone.
Checkpoints and artefacts are complete or absent at any moment, so nothing is damaged.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

import jax
from jax.errors import JaxRuntimeError
from orbax.checkpoint import multihost

FAILURE_KEY, BARRIER = "difnas_jax/failure", "difnas_jax/failure_seen"
# Seconds between two polls, and seconds for which the first process that fails waits
# until all others have seen its error.
POLL_SECONDS, GRACE_SECONDS = 1.0, 30.0
DIED = "another process has died; the same command continues"

_ending = threading.Lock()


@contextlib.contextmanager
def watch_for_failures() -> Iterator[None]:
    """End this process when another one fails; `abort_all` is called outside of it."""
    if not jax.distributed.is_initialized():
        yield
        return
    finished = threading.Event()
    client = multihost.get_jax_distributed_client()
    thread = threading.Thread(target=_poll, args=(client, finished), daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _poll(client: Any, finished: threading.Event) -> None:
    while not finished.wait(POLL_SECONDS):
        with contextlib.suppress(JaxRuntimeError):  # no failure is posted
            _end(client, *json.loads(client.key_value_try_get(FAILURE_KEY)))


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
    except JaxRuntimeError:
        if code is None:
            text, code = f"{text}\n{DIED}", os.EX_TEMPFAIL
    finally:  # also where the wait is interrupted, or stderr is closed
        try:
            sys.stdout.flush()
            print(text, file=sys.stderr, flush=True)
        finally:
            os._exit(1 if code is None else code)
