"""Pictures of a ranking: scores against accuracies, and tau along a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from benchmarks.macro_table import MacroTable
from difnas_jax.figures import ABOVE, BLUE, GREEN, LINE, MUTED, ORANGE, new_figure

DEPTHS = matplotlib.colormaps["viridis"]
LINES = (BLUE, ORANGE, GREEN, MUTED)


def scatter(scores: np.ndarray, table: MacroTable, title: str) -> Figure:
    """Accuracy against score, coloured by the number of layers.

    Args:
      scores: float64[N].
      table: N names.
      title: what scored, and how well.
    """
    figure, (axes,) = new_figure(6.4, 4.6)
    depth = (table.architectures != 0).sum(1)
    points = axes.scatter(
        scores, table.accuracies, c=depth, cmap=DEPTHS, s=9, lw=0, alpha=0.8
    )
    axes.set(xlabel="score", ylabel="accuracy in the table (%)", title=title)
    figure.colorbar(points, label="layers that are not identity", aspect=40)
    return figure


def learning_curves(
    curves: Mapping[str, Mapping[int, Sequence[float]]], level: float
) -> Figure:
    """Tau against updates, a line through the means and a dot for each seed.

    Args:
      curves: name -> updates -> tau-b of each seed.
      level: tau-b of the layer count, drawn as a line.
    """
    figure, (axes,) = new_figure(6.4, 4.2)
    axes.axhline(level, color=LINE, lw=1.2, label="layer count")
    for (name, curve), colour in zip(curves.items(), LINES, strict=False):
        steps = sorted(curve)
        axes.plot(steps, [np.mean(curve[s]) for s in steps], color=colour, label=name)
        for step in steps:
            values = curve[step]
            axes.plot([step] * len(values), values, "o", color=colour, ms=3, mew=0)
    axes.set(xlabel="updates", ylabel="tau-b with the table")
    figure.legend(**ABOVE)
    return figure
