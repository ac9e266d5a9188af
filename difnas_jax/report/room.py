"""The room that the projection of updates leaves in the report."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from difnas_jax.report.figures import ABOVE, BLUE, MUTED, ORANGE, panel
from difnas_jax.runtime import artifacts, files
from difnas_jax.training.projection import UPDATES

Values = dict[str, Any]


def measured(workdir: Path) -> list[Values]:
    """The rows of `training.room`; none where updates were not projected.

    Raises:
      InputError: a damaged file.
    """
    path = workdir / artifacts.ROOM
    if not path.exists():
        return []
    rows = files.read_json_lines(path, ("step",))
    with files.damage_as_input_error(path, "the room that is left of each op"):
        if rows:  # a killed run may have written none yet
            summary(rows, "")
            _values(rows)
    return rows


def share_of(config: ConfigDict) -> str:
    """What the room of an op is a share of."""
    return UPDATES[config.method["update"]].room_name


def summary(rows: list[Values], label: str) -> Values | None:
    """What is left after the last update: `mean` over ops, `least`, and of which `op`.

    Args:
      rows: see `training.room`.
      label: what they are shares of.

    Returns:
      None without rows.
    """
    if not rows:
        return None
    ops = {str(op): float(share) for op, share in rows[-1]["ops"].items()}
    op = min(ops, key=lambda name: ops[name])
    mean = float(np.mean([*ops.values()]))
    return {"share_of": label, "mean": mean, "least": ops[op], "op": op}


def _values(rows: list[Values]) -> tuple[np.ndarray, np.ndarray]:
    """float64[T] steps, and float64[T, O] shares."""
    names = list(rows[0]["ops"])
    values = [[row["ops"][name] for name in names] for row in rows]
    return np.array([row["step"] for row in rows], np.float64), np.array(values)


def figure(rows: list[Values], label: str) -> Figure:
    """The share that is left, of every op and on average, over the training.

    Args:
      rows: at least one, see `training.room`.
      label: what it is a share of.
    """
    drawn, axes = panel()
    steps, values = _values(rows)
    lines = axes.plot(steps, values, color=MUTED, alpha=0.3, lw=0.8)
    lines[0].set_label("an op")
    axes.plot(steps, values.mean(1), color=BLUE, label="mean over ops")
    axes.plot(steps, values.min(1), color=ORANGE, label="least")
    axes.set(xlabel="step", ylabel=label, ylim=(-0.02, 1.02))
    drawn.legend(**ABOVE)
    return drawn
