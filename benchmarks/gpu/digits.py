"""The whole pipeline on the digits, as a user runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from benchmarks import kills
from benchmarks.gpu.session import Session, say
from difnas_jax.config.stages import BY_DEFAULT
from difnas_jax.runtime import files

SMALL = Path(kills.__file__).with_name("small_run.py")
_COMPILED = re.compile(r"^(\S+): compiled in ([\d.]+) s", re.MULTILINE)


def measure(session: Session) -> None:
    """Record the seconds of the stages and of compilation, and the test accuracy."""
    workdir = session.folder / "workdir"
    command = [
        *(sys.executable, "-m", "difnas_jax", f"--workdir={workdir}"),
        f"--config={f'{SMALL}:steps=4' if session.small else 'digits'}",
        f"--config.compilation_cache={session.compiled}",
    ]
    with session.beside_others():
        ended = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    say(ended.stdout)
    ended.check_returncode()
    stages = {
        name: files.read_json(workdir / f"stages/{name}.json")["seconds"]
        for name in BY_DEFAULT
    }
    compiled = {name: float(text) for name, text in _COMPILED.findall(ended.stdout)}
    accuracy = files.read_json(workdir / "results.json")["test_accuracy"]
    session.record(stages=stages, compiled=compiled, test_accuracy=accuracy)
