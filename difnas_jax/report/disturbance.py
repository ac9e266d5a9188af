"""The disturbance of paths in the report: in numbers, and over the training."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from difnas_jax.report.figures import ABOVE, BLUE, MUTED, ORANGE, panel
from difnas_jax.runtime import artifacts, files

KEYS = ("step", "architectures", "images", "seconds")
THIRDS = ("early", "middle", "late")
# Quantity -> its label.
QUANTITIES = {"loss": "loss (nats)", "accuracy": "accuracy"}
# A running mean is drawn over so many measurements, or over this share of them.
LEAST_WINDOW, WINDOW = 5, 0.2
Values = dict[str, Any]
Rows = Sequence[Values]


def measured(workdir: Path) -> list[Values]:
    """The measurements of the training of a supernet; none where none was asked for.

    Raises:
      InputError: a damaged file.
    """
    path = workdir / artifacts.DISTURBANCE
    if not path.exists():
        return []
    rows = files.read_json_lines(path, KEYS)
    with files.damage_as_input_error(path, "measurements of the disturbance"):
        summary(rows)
    return rows


def summary(rows: Rows) -> Values | None:
    """The measurements in numbers, positive where paths were disturbed.

    Args:
      rows: see `training.disturbance`.

    Returns:
      `measurements`, `architectures` that were measured, what trained in between
      (`after`), `images`, `split`, `seconds`; of `early`, `middle` and `late` thirds of
      the measurements `steps` (first and last), and of each quantity `mean`, `error`
      (standard error over measurements, None of a single one), `spread` (standard
      deviation over paths) and the share `helped`;
      `parts`, by quantity and name, mean and error. None without rows.
    """
    if not rows:
        return None
    thirds = {
        name: [rows[index] for index in part]
        for name, part in zip(THIRDS, np.array_split(range(len(rows)), 3), strict=True)
        if len(part)
    }
    return {
        "measurements": len(rows),
        "architectures": sum(len(row["loss"]["later"]) for row in rows),
        "after": rows[0]["architectures"],
        "images": rows[0]["images"],
        "split": rows[0]["split"],
        "seconds": sum(row["seconds"] for row in rows),
        "thirds": {
            name: {
                "steps": [part[0]["step"], part[-1]["step"]],
                **{quantity: _of_paths(part, quantity) for quantity in QUANTITIES},
            }
            for name, part in thirds.items()
        },
        "parts": {
            quantity: {
                name: _mean([row[quantity]["parts"][name] for row in rows])
                for name in rows[0][quantity]["parts"]
            }
            for quantity in QUANTITIES
        },
    }


def _of_paths(rows: Rows, quantity: str) -> Values:
    """Mean, its error, spread over paths, and share helped of some measurements."""
    changes = [change for row in rows for change in row[quantity]["disturbance"]]
    helped = sum(change < 0 for change in changes) / len(changes)
    means = _mean([row[quantity]["mean"] for row in rows])
    return {**means, "spread": statistics.pstdev(changes), "helped": helped}


def _mean(values: Sequence[float]) -> Values:
    """Mean and its standard error; the paths of one measurement share its updates."""
    error = None
    if len(values) > 1:
        error = statistics.stdev(values) / len(values) ** 0.5
    return {"mean": statistics.fmean(values), "error": error}


def figures(rows: Rows) -> list[Figure]:
    """For loss and accuracy: over the training, then by part of the network.

    Args:
      rows: at least one, see `training.disturbance`.
    """
    found: Any = summary(rows)
    drawn = []
    for quantity, parts in found["parts"].items():
        drawn += [_over_time(rows, quantity), _by_part(parts, quantity)]
    return drawn


def _panel(quantity: str, xlabel: str) -> tuple[Figure, Axes]:
    drawn, axes = panel()
    axes.axhline(0, color=MUTED, ls="--", lw=1)
    axes.set(xlabel=xlabel, ylabel=f"disturbance of the {QUANTITIES[quantity]}")
    if quantity == "accuracy":
        axes.yaxis.set_major_formatter(ticker.PercentFormatter(1))
    return drawn, axes


def _over_time(rows: Rows, quantity: str) -> Figure:
    drawn, axes = _panel(quantity, "step")
    steps = [row["step"] for row in rows]
    means = [row[quantity]["mean"] for row in rows]
    axes.plot(steps, means, ".", color=BLUE, ms=4, alpha=0.6, label="measurement")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    size = max(LEAST_WINDOW, round(WINDOW * len(rows)))
    if len(rows) >= size:
        windows = np.lib.stride_tricks.sliding_window_view([steps, means], size, axis=1)
        centres, running = windows.mean(-1)  # [2, N, size] -> [2, N]
        error = windows[1].std(-1, ddof=1) / size**0.5
        axes.plot(centres, running, color=ORANGE, label=f"mean of {size}, ± its error")
        band: dict[str, Any] = {"color": ORANGE, "alpha": 0.2, "lw": 0}
        axes.fill_between(centres, running - error, running + error, **band)
    drawn.legend(**ABOVE)
    return drawn


def _by_part(parts: Values, quantity: str) -> Figure:
    drawn, axes = _panel(quantity, "layer")
    places = np.arange(len(parts))
    means = [part["mean"] for part in parts.values()]
    errors = [part["error"] or 0.0 for part in parts.values()]
    axes.errorbar(places, means, errors, fmt="o", color=BLUE, ms=4, capsize=2)
    names = [name.removeprefix("layer_").lstrip("0") or "0" for name in parts]
    axes.set_xticks(places, names, rotation=90)
    return drawn
