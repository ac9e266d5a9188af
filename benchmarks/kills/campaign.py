"""Many kills at random moments of runs that are continued after each."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kills.interruption import Kill, finish, kill, start
from benchmarks.kills.outcome import differences
from difnas_jax.config.stages import BY_DEFAULT
from difnas_jax.runtime import files

# Stages in which a run is killed, in order, and whether while a checkpoint is written.
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


def campaign(
    folder: Path, flags: Sequence[str], kills: int, seed: int
) -> tuple[list[Kill], list[list[str]]]:
    """Kill runs until so many kills are done and the last run has ended.

    Args:
      folder: for the runs; an existing `unbroken` run is used.
      flags: of the runs, besides config and workdir.
      kills: how many.
      seed: of their moments.

    Returns:
      The kills, and for each finished run the parts that differ from the uninterrupted
      one; the first of these runs was not killed either.
    """
    unbroken, again, rng = folder / "unbroken", folder / "again", random.Random(seed)
    for workdir in (unbroken, again):
        finish(workdir, flags)
    # The second run finds all programs compiled, as a run that is continued does.
    seconds, done, differ = seconds_of(again), [], [differences(again, unbroken)]
    while len(done) < kills:
        workdir = folder / f"run{len(differ)}"
        for stage, aimed in MOMENTS:
            # Early kills are more frequent, since most happens early in a stage.
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


def seconds_of(workdir: Path) -> dict[str, float]:
    """How long each stage of a finished run took."""
    markers = {
        stage: files.read_json(workdir / "stages" / f"{stage}.json", ("seconds",))
        for stage in BY_DEFAULT
    }
    return {stage: marker["seconds"] for stage, marker in markers.items()}
