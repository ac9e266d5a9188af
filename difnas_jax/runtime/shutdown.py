"""Graceful shutdown: SIGTERM and SIGUSR1 ask a run to save its state and exit.

Machines that can be preempted send one of them some seconds ahead (TPU VMs and
Kubernetes SIGTERM, SLURM the signal that `--signal` names). The signal handler only
records the signal; training and search test for it between two steps, so that no step
is interrupted halfway.
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
# Turns between two comparisons among processes, each of which is a collective.
AGREE_EVERY = 8

_received: list[int] = []


@contextlib.contextmanager
def handle_signals() -> Iterator[None]:
    """Record `SIGNALS` instead of ending the process.

    Enter it after `jax.distributed.initialize`, which installs a handler of SIGTERM of
    its own. Outside of the main thread, where Python allows no signal handlers, it does
    nothing.
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
            # None stands for a handler that Python did not install and cannot restore.
            signal.signal(number, handler or signal.SIG_DFL)
        _received.clear()


def stop_requested(turn: int = 0) -> bool:
    """Whether to save and exit now: the same answer on every process.

    All processes must call it at the same turns. Where there are several, they compare
    the signals they have received at every `AGREE_EVERY`-th turn only.
    """
    if jax.process_count() == 1:
        return bool(_received)
    if turn % AGREE_EVERY:
        return False
    return bool(multihost_utils.process_allgather(np.asarray(bool(_received))).any())


def raise_if_stop_requested() -> None:
    """Stop at a point where everything is saved already.

    Raises:
      Stopped: a signal was received.
    """
    if stop_requested():
        raise Stopped("stopped by a signal")
