"""Start a run in a process of its own, kill it, or let it finish."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks.kills.data import CONFIG
from difnas_jax.config.stages import STAGES
from difnas_jax.main import main as difnas
from difnas_jax.runtime import files

WRITING = "checkpoints/*orbax-checkpoint-tmp*"
TIMEOUT = 900.0  # seconds


@dataclasses.dataclass(frozen=True)
class Kill:
    """One kill.

    Attributes:
      signal: its name.
      stage: that was running.
      writing: whether a checkpoint was being written.
      code: exit code; negative is the signal that ended it.
    """

    signal: str
    stage: str
    writing: bool
    code: int


def start(workdir: Path, flags: Sequence[str]) -> BaseProcess:
    """Start or continue a run in a process forked from one that has done the imports.

    Its output is appended to `<workdir>.log`.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, "difnas_jax.main"])
    process = processes.Process(target=_run, args=(workdir, flags))
    process.start()
    return process


def _run(workdir: Path, flags: Sequence[str]) -> None:
    log = os.open(f"{workdir}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    cache = workdir.parent / "compiled"
    flags = [f"--config={CONFIG}", f"--workdir={workdir}", *flags]
    sys.exit(difnas([*flags, f"--config.compilation_cache={cache}"]))


def stage_at_work(workdir: Path) -> str:
    """The stage that runs, or ran when the run was killed; empty between stages."""
    for stage in STAGES:
        path = workdir / "stages" / f"{stage}.json"
        if path.exists() and not files.read_json(path)["complete"]:
            return stage
    return ""


def kill(
    run: BaseProcess,
    workdir: Path,
    stage: str,
    number: signal.Signals,
    delay: float,
    aimed: bool,
) -> Kill | None:
    """Kill a run that has been started.

    Args:
      run: its process.
      workdir: its workdir.
      stage: to wait for.
      number: the signal.
      delay: seconds after the stage has begun.
      aimed: wait until a checkpoint is being written instead.

    Returns:
      What the kill hit; None if the run ended before.
    """
    deadline = time.monotonic() + TIMEOUT
    writing = f"{stage}/{WRITING}"
    while run.is_alive():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{workdir}: nothing to kill within {TIMEOUT:g} s")
        if any(workdir.glob(writing)) if aimed else stage_at_work(workdir) == stage:
            break
        time.sleep(0.001 if aimed else 0.01)
    run.join(0.0 if aimed else delay)
    hit, caught = stage_at_work(workdir), any(workdir.glob(f"*/{WRITING}"))
    if run.is_alive() and run.pid:
        os.kill(run.pid, number)
    code = ended(run)
    if code not in (0, -number, os.EX_TEMPFAIL):
        raise RuntimeError(f"{workdir}: exit code {code}; see {workdir}.log")
    return Kill(number.name, hit or "between", caught, code) if code else None


def ended(process: BaseProcess) -> int:
    """The exit code of a process, for which it waits."""
    process.join(TIMEOUT)
    if process.exitcode is None:
        raise TimeoutError(f"{process.name}: expected its end within {TIMEOUT:g} s")
    return process.exitcode


def finish(workdir: Path, flags: Sequence[str]) -> None:
    """Continue a run until it ends.

    Raises:
      RuntimeError: it failed; its log says why.
    """
    if code := ended(start(workdir, flags)):
        raise RuntimeError(f"{workdir}: exit code {code}; see {workdir}.log")
