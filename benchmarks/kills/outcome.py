"""What a run that was killed and continued must have in common with another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from difnas_jax.runtime import artifacts, files

# Times, or values that follow from times, may differ.
TIMES = ("seconds", "images_per_second", "data_wait")


def outcome(workdir: Path) -> dict[str, Any]:
    """The results of a finished run that must not depend on kills, by name."""
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
