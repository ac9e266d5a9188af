"""How a command ends: exit codes, and requests to stop.

0    done
1    a training broke down, the disk is full, or a file cannot be written
2    bad input
75   stopped by SIGTERM or SIGUSR1 with its state saved, or another process of the run
     has died; the same command continues (EX_TEMPFAIL)
130  interrupted from the keyboard

Machines that can be preempted send a signal some seconds ahead (TPU VMs and Kubernetes
SIGTERM, SLURM the one that `--signal` names). It is heard within seconds, wherever the
program is:

- The signal handler only records it. Training and search test for it between two steps,
  save, and stop (`stop_requested`), so that no step is interrupted halfway.
- Elsewhere (reading, compiling, evaluating, drawing) everything that was done is saved
  already. A thread ends the process there if it has not ended by itself after
  `PATIENCE` seconds. The main thread may be in XLA for minutes, where no Python runs;
  the thread learns of signals from the file descriptor that Python writes them to at
  once. To end so is no worse than to be killed: files are complete or absent at any
  moment, and the same command continues to the same bits.
- `may_end(False)` marks where that would lose updates: from the first update of a
  training to the last save. The first call of another program within it compiles, and
  there the process may end: what is lost are the updates since the last checkpoint. A
  training saves before it evaluates.
- Of several processes, those that no signal has reached end with the one that has: the
  stop is posted like a failure (`failures.py`), with code 75.

Ctrl-C raises `KeyboardInterrupt`, as ever, and the same thread ends a command whose
main thread is not in Python. A second Ctrl-C ends the process at once. In a notebook,
whose process is not ours, Ctrl-C is left as it is.
"""

import argparse
import builtins
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils

from difnas_jax.errors import InputError, Stopped
from difnas_jax.runtime.failures import abort_all, describe_error, end_process
from difnas_jax.runtime.jax_settings import standard_settings
from difnas_jax.runtime.output import show

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
# Turns between two comparisons among processes, each of which is a collective.
AGREE_EVERY = 8
# Seconds that the main thread has to stop by itself, that it has to tidy up after a
# Ctrl-C (which Python loses inside of a finalizer), and between two looks at it.
PATIENCE, TIDYING, LOOK_EVERY = 3.0, 30.0, 0.25
CONTINUES = "the same command continues"

_received: list[int] = []
_may_end = [True]


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage.

    Its flags have no abbreviations: what is unknown may be a field of the config.
    """

    def __init__(self, prog: str, description: str | None = None, **rest: Any) -> None:
        """Take a program and what its help says of it, printed as it is written."""
        raw = argparse.RawDescriptionHelpFormatter
        options = {"formatter_class": raw, "allow_abbrev": False, **rest}
        super().__init__(prog, description=description, **options)

    def error(self, message: str) -> NoReturn:
        """Raise an `InputError` instead of exiting."""
        raise InputError(f"{message}; see --help")


def exit_code(work: Callable[[], None], interrupted: str = CONTINUES) -> int:
    """Do the work of a command and print an error of the user as one line.

    Args:
      work: what the command does.
      interrupted: printed if the command is interrupted from the keyboard.

    Returns:
      The exit code, one of those above. An error also ends the other processes.
    """
    try:
        with _interrupted_once(), standard_settings():
            work()
    except Stopped as stopped:
        show(f"{stopped}; {CONTINUES}", sys.stderr)
        return os.EX_TEMPFAIL
    except (Exception, KeyboardInterrupt) as error:
        text, code = describe_error(error, interrupted)
        abort_all(text, code)
        if code is None:
            raise
        show(text, sys.stderr)
        return code
    return 0


@contextlib.contextmanager
def handle_signals() -> Iterator[None]:
    """Hear `SIGNALS`, and end the process only as said above.

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
        with _listening():
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


@contextlib.contextmanager
def may_end(anywhere: bool) -> Iterator[None]:
    """Whether a request to stop may end the process anywhere inside, see above."""
    _may_end.append(anywhere)
    try:
        yield
    finally:
        _may_end.pop()


@contextlib.contextmanager
def _listening() -> Iterator[None]:
    """Run the thread that ends this process where its main thread hears nothing."""
    wakeups, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    over = threading.Event()
    arguments = wakeups, over
    thread = threading.Thread(target=_end_unheard, args=arguments, daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        over.set()
        writer.close()  # the other end reads that it is closed
        thread.join()
        wakeups.close()


def _end_unheard(wakeups: socket.socket, over: threading.Event) -> None:
    """Hear requests to stop, and end the process where the main thread does not."""
    since: dict[int, float] = {}
    wakeups.settimeout(LOOK_EVERY)
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            number = int.from_bytes(wakeups.recv(1))
            if number in (*SIGNALS, signal.SIGINT):
                since.setdefault(number, time.monotonic())
        for request, start in since.items():
            patience = _patience(request)
            if patience is None:
                since[request] = time.monotonic()
            elif time.monotonic() - start >= patience:
                _end_for(request)


def _patience(request: int) -> float | None:
    """Seconds that the main thread has to stop; None where it must not be ended."""
    if request in SIGNALS:
        return PATIENCE if _may_end[-1] else None
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.SIG_DFL:  # `_interrupt` has run: what is done is tidied up
        return TIDYING
    return PATIENCE if handler is _interrupt else None


def _end_for(request: int) -> NoReturn:
    from_keyboard = request == signal.SIGINT
    text = f"stopped{'' if from_keyboard else ' by a signal'}; {CONTINUES}"
    code = 130 if from_keyboard else os.EX_TEMPFAIL
    abort_all(text, code)
    end_process(text, code)


@contextlib.contextmanager
def _interrupted_once() -> Iterator[None]:
    """Let the first Ctrl-C raise `KeyboardInterrupt`, and the second end the process.

    It may come while what the first has left is tidied up, until Python itself ends.
    """
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        and not hasattr(builtins, "__IPYTHON__")  # the process is a notebook's
    )
    if ours:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(*_: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt
