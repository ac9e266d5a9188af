"""The figure of `isometry`: gamma gradients by layer, singular values by law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from benchmarks.isometry.supernets import KERNELS, of
from benchmarks.isometry.tables import SINGULAR_VALUES, supernets
from difnas_jax.report import figures

# Okabe and Ito, then grey: one colour for each op.
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#59636e",
    "#1f2328",
)
MARKERS = "osD^vP*X"
TITLES = {"orthogonal": "orthogonal kernels", "he_fan_out": "He kernels"}


def isometry_figure(results: dict[str, Any]) -> Figure:
    """A row of panels for each supernet, and one more for the singular values.

    A supernet has a panel for each kernel rule: RMS of the gamma gradients by layer, a
    line for each op, geometric mean over seeds, under the first layer indicator.

    Args:
      results: as `outputs.load` has them.
    """
    parts = supernets(results)
    spectra = results.get(SINGULAR_VALUES, {}).get("rows", [])
    rows = len(parts) + bool(spectra)
    figure, all_axes = figures.new_figure(9.6, 3.6 * rows, columns=2, rows=rows)
    for number, (part, result) in enumerate(parts.items()):
        pair = all_axes[2 * number : 2 * number + 2]
        _gamma_gradients(pair, part, result["rows"])
    if spectra:
        _laws(all_axes[-2], spectra, "mean", "mean squared singular value")
        _laws(all_axes[-1], spectra, "spread", "its normalised variance")
    return figure


def _gamma_gradients(
    pair: Sequence[Axes], part: str, rows: Sequence[dict[str, Any]]
) -> None:
    indicator = rows[0]["layer_indicator"]
    for axes, kernels in zip(pair, KERNELS, strict=True):
        tables = [
            np.array(row["fairness"]["rms"], np.float64)
            for row in of(rows, indicator, kernels)
        ]
        rms = np.sqrt(np.mean(np.square(tables), 0))  # [L, O]
        for op, name in enumerate(rows[0]["ops"]):
            style: dict[str, Any] = {
                "color": COLOURS[op % 8],
                "marker": MARKERS[op % 8],
                "ms": 4,
            }
            axes.plot(rms[:, op], label=name, lw=1.2, **style)
        axes.set_title(f"{part}, {TITLES[kernels]}", loc="left")
        axes.set(xlabel="layer", ylabel="RMS of dL/dγ", yscale="log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _plain_numbers(axes.yaxis)
    low = min(axes.get_ylim()[0] for axes in pair)
    high = max(axes.get_ylim()[1] for axes in pair)
    for axes in pair:
        axes.set_ylim(low, high)
    pair[1].legend(frameon=False, fontsize=8, ncols=2)


def _plain_numbers(*logarithmic: Axis) -> None:
    for axis in logarithmic:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def _style(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number % 8], "marker": MARKERS[number % 8]}


def _laws(axes: Axes, rows: Sequence[dict[str, Any]], key: str, title: str) -> None:
    shown = [row for row in rows if row[f"{key}_law"] and row[f"{key}_deviation"]]
    names = list(dict.fromkeys(row["initialisation"] for row in shown))
    for number, name in enumerate(names):
        own = [row for row in shown if row["initialisation"] == name]
        points = [(row[f"{key}_law"], row[key]) for row in own]
        law, measured = np.array(points).T
        options = _style(number)
        axes.scatter(law, measured, 14, label=name, alpha=0.8, lw=0, **options)
    laws = [row[f"{key}_law"] for row in shown]
    ends = min(laws), max(laws)
    axes.plot(ends, ends, color=figures.MUTED, lw=1, zorder=0)
    axes.set_title(title, loc="left")
    axes.set(xlabel="law", ylabel="measured", xscale="log", yscale="log")
    _plain_numbers(axes.xaxis, axes.yaxis)
    axes.legend(frameon=False, fontsize=8)
