"""Being asked to leave: SIGTERM and SIGUSR1 mean save, and go.

Machines that can be taken away send one of them some seconds ahead (TPU VMs and
Kubernetes SIGTERM, SLURM what `--signal` names). A signal only leaves a note; training
and search look at it between two steps, so that nothing is left half-done.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from difnas_jax.errors import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
# Asking the other processes costs a collective, for which all of them wait.
AGREE_EVERY = 8

_received: list[int] = []


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Note `SIGNALS` instead of dying of them.

    Enter it after `jax.distributed.initialize`, which takes SIGTERM for itself. Outside
    of the main thread, where Python knows no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda number, _: _received.append(number))
        for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            # None is a handler that was not set by Python, and cannot be set again.
            signal.signal(number, handler or signal.SIG_DFL)
        _received.clear()


def asked(turn: int = 0) -> bool:
    """Whether to save and leave now: the same answer on every process.

    All processes must ask at the same turns. Several of them look at each other's notes
    at every `AGREE_EVERY`-th turn only.
    """
    if jax.process_count() == 1:
        return bool(_received)
    if turn % AGREE_EVERY:
        return False
    return bool(multihost_utils.process_allgather(np.asarray(bool(_received))).any())


def leave_if_asked() -> None:
    """Leave where everything is saved already.

    Raises:
      Stopped: a signal came.
    """
    if asked():
        raise Stopped("asked to leave")
