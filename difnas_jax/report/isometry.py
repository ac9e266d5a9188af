"""The isometry of a supernet in the report: what `isometry.json` holds, as a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from difnas_jax.config import build
from difnas_jax.isometry.summary import FIELDS
from difnas_jax.report.figures import ABOVE, BLUE, MUTED, ORANGE, panel
from difnas_jax.runtime import artifacts, files

KEYS = ("config", "roles", "blocks", "depth", "normalized")
Values = dict[str, Any]


def measured(config: ConfigDict, workdir: Path) -> Values | None:
    """What the command `isometry` has measured, or None where it was not for this run.

    Raises:
      InputError: a damaged file.
    """
    path = workdir / artifacts.ISOMETRY
    if not path.exists():
        return None
    values = files.read_json(path, KEYS)
    return values if values["config"] == build.flat(config, FIELDS) else None


def figures(values: Values) -> list[Figure]:
    """Mean and spread by block, then variance and growth by layer of a chain.

    Args:
      values: what `isometry.summary` returns.
    """
    blocks, columns = values["blocks"], values["depth"]
    drawn = [
        _blocks(blocks, "mean", "mean squared singular value"),
        _blocks(blocks, "spread", "its normalised variance"),
    ]
    if columns:
        drawn += [
            _layers(columns, "variance", "variance of the feature maps"),
            _layers(columns, "growth", "growth of the squared gradient"),
        ]
    return drawn


def _blocks(rows: Sequence[Values], key: str, title: str) -> Figure:
    drawn, axes = panel(1.2 + 0.22 * len(rows))
    names = [f"{row['op']}, stride {row['stride']}" for row in rows]
    parts = [f" ({row['part']})" if row["part"] != "op" else "" for row in rows]
    places = np.arange(len(rows))
    laws = [row[f"{key}_law"] for row in rows]
    axes.plot(laws, places, "|", color=ORANGE, ms=11, mew=2, label="theory")
    axes.plot(
        [row[key] for row in rows], places, "o", color=BLUE, ms=4, label="measured"
    )
    axes.axvline(float(key == "mean"), color=MUTED, ls="--", lw=1)
    axes.set_yticks(places, [n + part for n, part in zip(names, parts, strict=True)])
    axes.set(xlabel=title, xmargin=0.1, ylim=(len(rows) - 0.5, -0.5))
    drawn.legend(**ABOVE)
    return drawn


def _layers(columns: Values, key: str, title: str) -> Figure:
    drawn, axes = panel()
    for name, style in ((f"{key}_law", "-"), (key, "o")):
        values = np.array(columns[name], np.float64)
        colour = BLUE if style == "o" else ORANGE
        axes.plot(values, style, color=colour, ms=4)
    axes.set(xlabel="layer", ylabel=title, yscale="log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    return drawn
