"""Figure of a ranking: scores against accuracies."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from difnas_jax.ranking.path_counts import structure
from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.report.figures import new_figure

DEPTHS = matplotlib.colormaps["viridis"]


def scatter(scores: np.ndarray, table: BenchmarkTable, title: str) -> Figure:
    """Accuracy against score, coloured by the number of layers with weights.

    Args:
      scores: float64[N].
      table: N names.
      title: of the figure.
    """
    figure, (axes,) = new_figure(6.4, 4.6)
    depth = structure(table.space, table.architectures)["live_convs"]
    points = axes.scatter(
        scores, table.accuracies, c=depth, cmap=DEPTHS, s=9, lw=0, alpha=0.8
    )
    axes.set(xlabel="score", ylabel="accuracy in the table (%)", title=title)
    figure.colorbar(points, label="layers with weights", aspect=40)
    return figure
