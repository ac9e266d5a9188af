"""Figure of a ranking: scores against accuracies."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.report.figures import new_figure

DEPTHS = matplotlib.colormaps["viridis"]


def scatter(scores: np.ndarray, table: BenchmarkTable, title: str) -> Figure:
    """Accuracy against score, coloured by the number of layers.

    Args:
      scores: float64[N].
      table: N names.
      title: of the figure.
    """
    figure, (axes,) = new_figure(6.4, 4.6)
    depth = (table.architectures != 0).sum(1)
    points = axes.scatter(
        scores, table.accuracies, c=depth, cmap=DEPTHS, s=9, lw=0, alpha=0.8
    )
    axes.set(xlabel="score", ylabel="accuracy in the table (%)", title=title)
    figure.colorbar(points, label="layers that are not identity", aspect=40)
    return figure
