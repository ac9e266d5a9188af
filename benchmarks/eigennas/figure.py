"""The figure of `eigennas`: bounds beside what they bound, and the rankings."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks import result_files
from benchmarks.eigennas.page import BOUNDS, rows_of, test_accuracies, trained_parts
from benchmarks.eigennas.rows import WIDTHS, Row
from difnas_jax.report import figures
from difnas_jax.report.figures import BLUE, GREEN, INK, MUTED, ORANGE

SERIES = {
    "upper bound, closest pair": ("closest_pair", GREEN, "v"),
    "lower bound, Schur": ("schur", ORANGE, "^"),
    "lower bound, Hermite": ("hermite", MUTED, "^"),
}


def eigennas_figure(results: result_files.Results) -> Figure:
    """The bounds, and the networks of up to three parts: the last that were trained."""
    figure, axes = figures.new_figure(9.6, 8.0, columns=2, rows=2)
    if BOUNDS in results:
        _bounds(axes[0], rows_of(results[BOUNDS]))
    trained = list(trained_parts(results).items())
    for panel, (part, rows) in zip(axes[1:], trained[-3:], strict=False):
        _trained(panel, part, rows)
    return figure


def _bounds(axes: Axes, rows: list[Row]) -> None:
    whole = np.array([row["infinite"] for row in rows])
    for label, (key, colour, marker) in SERIES.items():
        values = [row[key] for row in rows]
        style: dict[str, Any] = {"color": colour, "marker": marker, "lw": 0}
        axes.scatter(whole, values, 22, label=label, **style)
    for width, shade in zip(WIDTHS, ("#9ecae1", "#4292c6", BLUE), strict=True):
        values = [np.mean(row[f"finite_{width}"]) for row in rows]
        axes.scatter(whole, values, 12, color=shade, label=f"measured, width {width}")
    ends = whole.min(), whole.max()
    axes.plot(ends, ends, color=INK, lw=0.8, zorder=0)
    axes.set(xscale="log", yscale="log", xlabel="minimum eigenvalue, infinite width")
    axes.set_title("Bounds and measurements", loc="left")
    axes.legend(frameon=False, fontsize=7)


def _trained(axes: Axes, part: str, rows: list[Row]) -> None:
    test = 100 * (1 - test_accuracies(rows).mean(0))
    layers = np.array([row["nonlinear_layers"] for row in rows])
    eigenvalues = np.exp([row["finite"] for row in rows])
    points = axes.scatter(eigenvalues, test, 22, c=layers, cmap="viridis")
    axes.set(xscale="log", yscale="log", ylabel="test error (%)")
    axes.set_xlabel("minimum eigenvalue, width 64")
    axes.yaxis.set_major_locator(LogLocator(subs=range(1, 10)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"{len(rows)} trained networks, {part}", loc="left")
    figure: Any = axes.get_figure()
    figure.colorbar(points, ax=axes, label="non-linear layers")
