"""Failures: what ends one process of a run ends all of them, at once and in its words.

A process that fails leaves the others in a collective that never ends, where no
exception reaches them. So it leaves word in the key-value store of JAX's coordination
service. There a thread of every process looks, says it again, and ends its process;
nobody waits at the exit for those that are gone. Checkpoints and artefacts are complete
or absent at any moment, as for a kill.
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

WORD, HEARD = "difnas_jax/failed", "difnas_jax/heard"
# Seconds between two looks, and for which the first to fail waits for the others.
EVERY, PATIENCE = 1.0, 30.0
DIED = "another process has died; the same command continues"

_leaving = threading.Lock()


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """End this process when another one fails; `tell` is for outside of it."""
    if not jax.distributed.is_initialized():
        yield
        return
    over = threading.Event()
    client = multihost.get_jax_distributed_client()
    thread = threading.Thread(target=_listen, args=(client, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _listen(client: Any, over: threading.Event) -> None:
    while not over.wait(EVERY):
        with contextlib.suppress(JaxRuntimeError):  # no word so far
            _leave(client, *json.loads(client.key_value_try_get(WORD)))


def tell(text: str, code: int | None) -> None:
    """End all processes, for this one has failed; returns where it is alone.

    Args:
      text: what is said here, and by the others with the number of this process.
      code: exit code of all. None: nobody foresaw the failure. Where all others hear of
        it, it is a defect, and 1; otherwise it comes from the death of another process,
        and the code is that of a stop.
    """
    if not jax.distributed.is_initialized():
        return
    client = multihost.get_jax_distributed_client()
    word = json.dumps([f"process {jax.process_index()}: {text}", code])
    with contextlib.suppress(JaxRuntimeError):  # another one was first
        client.key_value_set(WORD, word)
    _leave(client, text, code)


def _leave(client: Any, text: str, code: int | None) -> NoReturn:
    """Wait until all have heard, say it, after what libraries say of it, and end."""
    _leaving.acquire()  # whoever comes second is ended by the first
    try:
        client.wait_at_barrier(HEARD, int(1000 * PATIENCE))
    except JaxRuntimeError:
        if code is None:
            text, code = f"{text}\n{DIED}", os.EX_TEMPFAIL
    finally:  # also when it is interrupted, or there is nowhere to say it
        _end(text, 1 if code is None else code)


def _end(text: str, code: int) -> NoReturn:
    try:
        sys.stdout.flush()
        print(text, file=sys.stderr, flush=True)
    finally:
        os._exit(code)
