"""Kill a run at random moments, again and again, and compare it with an unbroken one.

    python -m benchmarks.kills --kills=50 --seed=0

A small run of all stages (`kills_config.py`), with digits that a worker process reads
from a data set of TFDS, is killed in every stage, by SIGKILL and SIGTERM in turn, after
a random share of the time that the stage takes, or while a checkpoint is being written;
between two kills the same command goes on. A run that has been through all stages ends
unharmed, is compared, and the next begins. Writes `benchmarks/KILLS.md`.
"""

from __future__ import annotations

import collections
import dataclasses
import multiprocessing
import os
import platform
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kills_data import CONFIG, DATA
from difnas_jax.config.stages import STAGES
from difnas_jax.errors import TrainingError
from difnas_jax.main import main as difnas
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.command import Parser, exit_code

PAGE = Path(__file__).with_name("KILLS.md")
# An interrupted run may end differently in these: they are times, or follow from them.
TIMES = ("seconds", "images_per_second", "data_wait")
WRITING = "checkpoints/*orbax-checkpoint-tmp*"
# The stages in which a run is killed, in order, and whether at a checkpoint.
MOMENTS = (
    ("supernet", False),
    ("supernet", True),
    ("indicator", False),
    ("search", False),
    ("retrain", True),
    ("retrain", False),
    ("report", False),
)
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
PATIENCE = 900.0


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
    """Start or continue the run in a process of its own that has the imports behind it.

    Its output goes beside the workdir.
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
    """The stage that is running, or was when the run was killed; empty in between."""
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
      stage: to be waited for.
      number: the signal.
      delay: seconds after the stage has begun.
      aimed: wait until a checkpoint is being written instead.

    Returns:
      What was hit; None if the run came to its end before.
    """
    deadline = time.monotonic() + PATIENCE
    writing = f"{stage}/{WRITING}"
    while run.is_alive():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{workdir}: hangs")
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
    process.join(PATIENCE)
    if process.exitcode is None:
        raise TimeoutError(f"{process.name}: hangs")
    return process.exitcode


def outcome(workdir: Path) -> dict[str, Any]:
    """Everything of a finished run that must not depend on kills."""
    with np.load(workdir / artifacts.INDICATOR, allow_pickle=False) as arrays:
        values: dict[str, Any] = {
            f"{artifacts.INDICATOR}: {name}": arrays[name].tobytes()
            for name in arrays.files
        }
    for name in (artifacts.INDICATOR, artifacts.BEST, artifacts.CANDIDATES):
        values[name] = (workdir / name).read_bytes()
    values[artifacts.RETRAIN_RESULT] = _timeless(
        files.read_json(workdir / artifacts.RETRAIN_RESULT)
    )
    for name in (artifacts.SUPERNET_METRICS, artifacts.RETRAIN_METRICS):
        values[name] = list(map(_timeless, files.read_json_lines(workdir / name)))
    return values


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in TIMES}


def differences(workdir: Path, unbroken: Path) -> list[str]:
    """The parts of the outcome that differ from those of the unbroken run."""
    ours, theirs = outcome(workdir), outcome(unbroken)
    names = sorted(ours.keys() | theirs.keys())
    return [name for name in names if ours.get(name) != theirs.get(name)]


def seconds_of(workdir: Path) -> dict[str, float]:
    """How long each stage of a finished run took."""
    markers = {
        stage: files.read_json(workdir / "stages" / f"{stage}.json", ("seconds",))
        for stage in STAGES
    }
    return {stage: marker["seconds"] for stage, marker in markers.items()}


def campaign(
    folder: Path, flags: Sequence[str], kills: int, seed: int
) -> tuple[list[Kill], list[list[str]]]:
    """Kill runs until so many kills are done and the last run has ended.

    Args:
      folder: for the runs; an `unbroken` one that is there is taken.
      flags: of the runs, beside config and workdir.
      kills: how many.
      seed: of their moments.

    Returns:
      The kills, and for each finished run what differs from the unbroken one; the first
      was not killed either.
    """
    unbroken, again, rng = folder / "unbroken", folder / "again", random.Random(seed)
    for workdir in (unbroken, again):
        finish(workdir, flags)
    # From then on all programs are compiled, as they are when a run goes on.
    seconds, done, differ = seconds_of(again), [], [differences(again, unbroken)]
    while len(done) < kills:
        workdir = folder / f"run{len(differ)}"
        for stage, aimed in MOMENTS:
            # Rather early than late: most of a stage is its beginning.
            delay = seconds[stage] * rng.random() ** 2
            number = SIGNALS[len(done) % len(SIGNALS)]
            if len(done) == kills or not (
                hit := kill(start(workdir, flags), workdir, stage, number, delay, aimed)
            ):
                break
            done.append(hit)
            print(len(done), hit, file=sys.stderr, flush=True)
        finish(workdir, flags)
        differ.append(differences(workdir, unbroken))
        print(f"{workdir}: differs in {differ[-1]}", file=sys.stderr, flush=True)
    return done, differ


def finish(workdir: Path, flags: Sequence[str]) -> None:
    """Let a run come to its end."""
    if code := ended(start(workdir, flags)):
        raise RuntimeError(f"{workdir}: exit code {code}; see {workdir}.log")


def page(kills: list[Kill], differ: list[list[str]], arguments: str) -> str:
    """The result in Markdown."""
    rows = collections.Counter((kill.stage, kill.signal) for kill in kills)
    codes = collections.Counter((kill.signal, kill.code) for kill in kills)
    names = [number.name for number in SIGNALS]
    machine = f"{platform.machine()}, {os.cpu_count()} CPU cores, Python "
    versions = (f"{name} {text}" for name, text in artifacts.versions().items())
    writing = sum(kill.writing for kill in kills)
    lines = [
        "# Kill test",
        "",
        f"    python -m benchmarks.kills {arguments}",
        "",
        f"{len(kills)} kills in {len(differ) - 1} runs, "
        f"{writing} of them while a checkpoint was being written.",
        f"Runs that ended differently from the unbroken one: {sum(map(bool, differ))}.",
        "Compared, bit for bit: the arrays and bytes of `indicator.npz`, `best.json`,",
        "`candidates.csv`, the `result.json` of retraining and all rows of metrics,",
        "times left out.",
        "",
        f"| killed in | {' | '.join(names)} |",
        f"| --- |{' --: |' * len(names)}",
        *(
            f"| {stage} | {' | '.join(str(rows[stage, name]) for name in names)} |"
            for stage in (*STAGES, "between")
        ),
        "",
        "Exit codes: "
        + ", ".join(f"{n} x {code} on {name}" for (name, code), n in codes.items())
        + " (negative: the signal itself, before the handler is set; 75: saved).",
        "",
        f"{machine}{platform.python_version()}, {', '.join(versions)}.",
    ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the test; the exit code is 1 if a run ended differently."""
    return exit_code(lambda: _test(argv))


def _test(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="python -m benchmarks.kills", description="Kill and compare.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", choices=DATA, default="tfds")
    parser.add_argument("--workdir", type=Path, help="a new folder by default")
    parser.add_argument("--page", type=Path, default=PAGE)
    flags = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (flags.workdir or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        data = DATA[flags.data](folder)
        kills, differ = campaign(folder, data, flags.kills, flags.seed)
    arguments = f"--kills={flags.kills} --seed={flags.seed} --data={flags.data}"
    with files.atomic_write(flags.page) as file:
        file.write(page(kills, differ, arguments))
    print(flags.page.read_text())
    if any(differ):
        raise TrainingError(f"{sum(map(bool, differ))} runs ended differently")


if __name__ == "__main__":
    sys.exit(main())
