"""The picture: how well methods rank, against the seconds that they take."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.evidence.results import NULL, Quantity, Results, cost
from benchmarks.evidence.rows import CURVES, curve_rows
from difnas_jax.report import figures
from difnas_jax.report.figures import BLUE, GREEN, INK, MUTED, ORANGE

# Of the curves in turn: shapes tell them apart without colours.
COLOURS, MARKERS, LINES = (BLUE, ORANGE, INK, GREEN), "osD^vPX", ("-", "--", ":")
# What is no training: the row -> its label.
LEVELS = {
    "swap+expressivity": "swap + expressivity, half a minute without training",
    f"{NULL}layer count, reductions double": "number of layers, reductions double",
    f"{NULL}layer count": "number of layers",
}
LIMIT = 0.885  # of a sum over layers: `benchmarks.evidence.limits`
SMALL = 8  # points


def learning_curves(kept: Results) -> Figure:
    """Tau-b of every learning curve over what a training costs with its scores."""
    figure, (axes,) = figures.new_figure(9.2, 6.0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    styles = zip(*map(itertools.cycle, (COLOURS, MARKERS, LINES)), strict=True)
    for (name, rows), style in zip(curve_rows(kept).items(), styles, strict=False):
        _curve(axes, rows, CURVES[name].label, style)
    axes.margins(x=0.25)
    levels = {LIMIT: "the best sum over layers, fitted to the table"}
    levels |= dict(_levels(kept))
    for tau, label in levels.items():
        axes.axhline(tau, color=MUTED, lw=0.8, ls=figures.DASHED, zorder=0)
        where = axes.get_yaxis_transform()
        axes.text(
            0.005, tau, label, color=MUTED, size=SMALL, va="bottom", transform=where
        )
    axes.set(
        xlabel="seconds of a training and of its scores, on one core",
        ylabel="tau-b with the table",
    )
    return figure


def _levels(kept: Results) -> Iterator[tuple[float, str]]:
    for name, label in LEVELS.items():
        if name in kept:
            yield float(kept[name]["tau_b"].value), label


def _curve(
    axes: Axes,
    rows: list[dict[str, Quantity]],
    label: str,
    style: tuple[str, str, str],
) -> None:
    """A line with intervals, and its name behind the last point."""
    colour, marker, line = style
    seconds = [cost(row) for row in rows]
    taus, lows, highs = zip(*(map(float, row["tau_b"]) for row in rows), strict=True)
    below = [tau - low for tau, low in zip(taus, lows, strict=True)]
    above = [high - tau for tau, high in zip(taus, highs, strict=True)]
    axes.errorbar(
        seconds,
        taus,
        (below, above),
        color=colour,
        marker=marker,
        ls=line,
        ms=5,
        elinewidth=0.8,
        capsize=2,
    )
    axes.annotate(
        label,
        (seconds[-1], taus[-1]),
        xytext=(8, 0),
        textcoords="offset points",
        color=colour,
        va="center",
        bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 0.5},
    )
