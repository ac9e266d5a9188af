"""The figure of scores against a cost."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from difnas_jax.report.figures import ABOVE, BLUE, GREEN, INK, MUTED, ORANGE, panel
from difnas_jax.search.candidates import Candidates
from difnas_jax.spaces.costs import LATENCY, MACS


class Axis(NamedTuple):
    """How a cost is drawn: how much of it is one `unit`, and its label."""

    scale: float
    unit: str
    label: str


AXES = {
    MACS: Axis(1e6, "M", "multiply-adds (M)"),
    LATENCY: Axis(1.0, "ms", "predicted latency (ms)"),
}


def score_against_cost(
    candidates: Candidates,
    fronts: Mapping[str, Candidates],
    cost: str,
    found: tuple[float, float] | None = None,
    bounds: Sequence[float] = (),
    notes: Sequence[str] = (),
) -> Figure:
    """All candidates evaluated, Pareto fronts, the found network and the budget.

    Args:
      candidates: all that the search evaluated, best first.
      fronts: by label, at most two; networks of rising score and cost.
      cost: key of `AXES`.
      found: cost and score of the found network; None to leave it out.
      bounds: the budget of that cost, drawn as vertical lines.
      notes: of the first candidates, shown on hover; the others are one image.
    """
    figure, axes = panel(4.2)
    scale, unit, xlabel = AXES[cost]
    x = candidates.columns[cost] / scale
    label = f"{len(candidates):,} candidates"
    dots: dict[str, Any] = {"s": 14, "color": BLUE, "alpha": 0.5, "lw": 0}
    dots["clip_on"] = False  # which halves the file
    noted, rest = slice(len(notes)), slice(len(notes), None)
    axes.scatter(x[rest], candidates.scores[rest], rasterized=True, **dots)
    points = axes.scatter(x[noted], candidates.scores[noted], label=label, **dots)
    points.set_urls(list(notes))
    for (label, front), colour in zip(fronts.items(), (INK, GREEN), strict=False):
        front = front[np.argsort(front.columns[cost])]
        x = front.columns[cost] / scale
        axes.step(x, front.scores, colour, where="post", label=label, zorder=0.9)
    for bound in np.array(bounds) / scale:
        label = f"budget {bound:.4g} {unit}"
        axes.axvline(bound, color=MUTED, ls="--", label=label, zorder=0.9)
    if found is not None:
        x, y = found[0] / scale, found[1]
        star: dict[str, Any] = {"color": ORANGE, "mec": "white", "ms": 15}
        axes.plot(x, y, "*", label="found network", zorder=0.95, **star)
    axes.set(xlabel=xlabel, ylabel="score")
    figure.legend(**ABOVE)
    return figure
