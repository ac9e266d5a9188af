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
            text, code = json.loads(client.key_value_try_get(WORD))
            _heard_by_all(client)
            _leave(text, code)


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
    word = json.dumps([f"process {jax.process_index()}: {text}", code or 1])
    with contextlib.suppress(JaxRuntimeError):  # another one was first
        client.key_value_set(WORD, word)
    if not _heard_by_all(client) and code is None:
        died = "another process has died; the same command continues"
        _leave(f"{text.rstrip()}\n{died}", os.EX_TEMPFAIL)
    _leave(text, code or 1)


def _heard_by_all(client: Any) -> bool:
    """Whether all processes say so in time."""
    try:
        client.wait_at_barrier(HEARD, int(1000 * PATIENCE))
    except JaxRuntimeError:
        return False
    return True


def _leave(text: str, code: int) -> NoReturn:
    """Say it last, after all that others have to say of it, and end."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)
    os._exit(code)
