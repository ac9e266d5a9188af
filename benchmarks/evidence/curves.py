"""The picture: how well methods rank, against the seconds that they take."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
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
# Tau-b of the sum over layers that fits the ranks of the table best, which
# `python -m benchmarks.evidence.limits --table=FILE` prints: pictures read no table.
LIMIT = 0.885
SMALL = 8  # points
# From the left of a name to its point.
LEADER: dict[str, Any] = {
    "arrowstyle": "-",
    "lw": 0.6,
    "alpha": 0.6,
    "relpos": (0, 0.5),
}
APART = 0.028  # tau-b between two names


def learning_curves(kept: Results) -> Figure:
    """Tau-b of every learning curve over what a training costs with its scores."""
    figure, (axes,) = figures.new_figure(9.2, 6.0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    styles = zip(*map(itertools.cycle, (COLOURS, MARKERS, LINES)), strict=True)
    labels = []
    for (name, rows), style in zip(curve_rows(kept).items(), styles, strict=False):
        _curve(axes, rows, style)
        end = cost(rows[-1]), float(rows[-1]["tau_b"].value)
        labels.append((end, CURVES[name].label, style[0]))
    _write_names(axes, labels)
    axes.set_ylim(0, 0.92)
    left, right = axes.get_xlim()
    axes.set_xlim(left / 2, right)  # room for the names of levels
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
    axes: Axes, rows: list[dict[str, Quantity]], style: tuple[str, str, str]
) -> None:
    """A line with intervals."""
    colour, marker, line = style
    taus, lows, highs = zip(*(map(float, row["tau_b"]) for row in rows), strict=True)
    axes.errorbar(
        [cost(row) for row in rows],
        taus,
        (np.subtract(taus, lows), np.subtract(highs, taus)),
        color=colour,
        marker=marker,
        ls=line,
        ms=5,
        elinewidth=0.8,
        capsize=2,
    )


def _write_names(
    axes: Axes, labels: list[tuple[tuple[float, float], str, str]]
) -> None:
    """Names at the right, from the top, each at least `APART` below the one before.

    Args:
      axes: of the curves.
      labels: last point, name and colour of each.
    """
    lowest = np.inf
    for (seconds, tau), name, colour in sorted(labels, reverse=True, key=_height):
        lowest = min(tau, lowest - APART)
        axes.annotate(
            name,
            (seconds, tau),
            xytext=(1.01, lowest),
            textcoords=axes.get_yaxis_transform(),
            color=colour,
            va="center",
            arrowprops={**LEADER, "color": colour},
        )


def _height(label: tuple[tuple[float, float], str, str]) -> float:
    return label[0][1]
