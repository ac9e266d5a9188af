"""How a command ends: exit codes, signals, and failures of one of several processes.

0    done
1    a training broke down, or the disk is full
2    bad input
75   stopped by SIGTERM or SIGUSR1 with its state saved, or another process of the run
     has died; the same command continues (EX_TEMPFAIL)
130  interrupted from the keyboard

Machines that can be preempted send a signal some seconds ahead (TPU VMs and Kubernetes
SIGTERM, SLURM the one that `--signal` names). The signal handler only records it;
training and search test for it between two steps, so that no step is interrupted
halfway.

A process that fails leaves the others in a collective that never returns, where no
exception reaches them. The failing process therefore posts its error to the key-value
store of JAX's coordination service. A thread in every process polls the store, prints
the error and ends its process; no process waits at its exit for one that is gone.
Checkpoints and artefacts are complete or absent at any moment, so nothing is damaged.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jax
import numpy as np
from jax.errors import JaxRuntimeError
from jax.experimental import multihost_utils
from orbax.checkpoint import multihost

from difnas_jax.errors import InputError, Stopped, TrainingError
from difnas_jax.runtime import files

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
# Turns between two comparisons among processes, each of which is a collective.
AGREE_EVERY = 8
FAILURE_KEY, BARRIER = "difnas_jax/failure", "difnas_jax/failure_seen"
# Seconds between two polls, and seconds for which the first process that fails waits
# until all others have seen its error. Process 0 hosts the store, and a process that
# loses it is aborted by XLA: it stays for some seconds after the others may leave.
POLL_SECONDS, GRACE_SECONDS, LAST_SECONDS = 1.0, 30.0, 4.0
DIED = "another process has died; the same command continues"

_received: list[int] = []
_ending = threading.Lock()


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Raise an `InputError` instead of exiting."""
        raise InputError(f"{message}; see --help")


def exit_code(
    work: Callable[[], None], interrupted: str = "the same command continues"
) -> int:
    """Do the work of a command and print an error of the user as one line.

    Args:
      work: what the command does.
      interrupted: printed if the command is interrupted from the keyboard.

    Returns:
      The exit code, one of those above. An error also ends the other processes.
    """
    try:
        work()
    except Stopped as stopped:
        print(f"{stopped}; the same command continues", file=sys.stderr)
        return os.EX_TEMPFAIL
    except (Exception, KeyboardInterrupt) as error:
        text, code = describe_error(error, interrupted)
        abort_all(text, code)
        if code is None:
            raise
        print(text, file=sys.stderr)
        return code
    return 0


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
    if isinstance(error, OSError) and error.errno in files.FULL_DISK:
        path, reason = error.filename or "output", error.strerror
        full = f"error: {path}: expected space to write, the disk is full ({reason})"
        return f"{full}; make space, and run the same command again", 1
    return "".join(traceback.format_exception(error)).rstrip(), None


@contextlib.contextmanager
def handle_signals() -> Iterator[None]:
    """Record `SIGNALS` instead of ending the process.

    Enter it after `jax.distributed.initialize`, which installs a handler of SIGTERM of
    its own. Outside of the main thread, where Python allows no signal handlers, it does
    nothing.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = {
        number: signal.signal(number, lambda number, _: _received.append(number))
        for number in (SIGNALS if in_main_thread else ())
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
    finally:  # also where the wait is interrupted, or stderr is closed
        try:
            sys.stdout.flush()
            print(text, file=sys.stderr, flush=True)
        finally:
            os._exit(1 if code is None else code)
