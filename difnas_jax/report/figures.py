"""The figures of the report: plain numbers in, matplotlib figures out.

Colours are those of Okabe and Ito, or one hue from light to dark, so that readers with
any colour vision tell them apart. The global state of pyplot is never touched.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import patches, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from difnas_jax.search.candidates import Candidates
from difnas_jax.spaces.base import Architecture, SearchSpace
from difnas_jax.spaces.costs import MACS

DPI = 160
INK, MUTED, LINE, PALE = "#1f2328", "#59636e", "#d0d7de", "#eef1f4"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
SHADES = matplotlib.colormaps["Blues"]
CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
DASHED = (0, (3, 2))
ABOVE = {"loc": "outside upper center", "ncols": 4, "frameon": False}
FEW_TIMES = 30  # a column that spans more is drawn on a logarithmic axis
MANY_GENERATIONS = 40  # more of them are dots that no line joins
MANY_POINTS = 100  # a longer curve is drawn as its running mean over the raw values

Rows = Sequence[dict[str, Any]]


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def indicator_heat_map(
    table: np.ndarray,
    space: SearchSpace,
    architecture: Architecture = (),
    *,
    label: str,
) -> Figure:
    """The indicator by layer and op, first layer on top.

    Args:
      table: float64[L, O], NaN where an op has no indicator.
      space: the search space; cells that it does not allow are hatched.
      architecture: the found network, outlined; empty for no outline.
      label: quantity and unit of the numbers.
    """
    size = 1.6 + 0.75 * space.num_ops, 0.8 + 0.3 * space.num_layers
    figure, (axes,) = new_figure(*size)
    image = axes.imshow(table, cmap=SHADES, aspect="auto")
    dark = np.asarray(image.norm(table)) > 0.65
    axes.set_xticks(range(space.num_ops), [op.name for op in space.ops])
    axes.set(yticks=range(space.num_layers), ylabel="layer")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    for layer, op in np.argwhere(~space.allowed):
        _cell(axes, layer, op, facecolor=PALE, edgecolor=LINE, hatch="////", lw=0)
    for layer, op in np.argwhere(np.isfinite(table)):
        colour, text = "white" if dark[layer, op] else INK, f"{table[layer, op]:.4f}"
        axes.text(op, layer, text, size=8, color=colour, **CENTRED)
    for layer, op in enumerate(architecture):
        _cell(axes, layer, op, fill=False, edgecolor=ORANGE, lw=2.2, clip_on=False)
    figure.colorbar(image, label=label, format="%.6g", aspect=40)
    return figure


def search_trajectory(history: Rows) -> Figure:
    """Best score so far and median of each generation by candidates evaluated.

    Args:
      history: rows with `evaluated`, `best` and `median`; None is drawn as a gap.
    """
    figure, (axes,) = new_figure(6.4, 4.2)
    rows = [(row["evaluated"], row.get("best"), row.get("median")) for row in history]
    evaluated, best, median = np.array(rows, np.float64).T
    few = len(history) < MANY_GENERATIONS
    lines, dots = ("o-", "s-") if few else ("-", ".")
    axes.plot(evaluated, median, dots, color=BLUE, ms=4, label="median of generation")
    axes.plot(evaluated, best, lines, color=ORANGE, ms=4, label="best so far")
    final = f"{best[-1]:.6g}\n"
    axes.text(evaluated[-1], best[-1], final, color=ORANGE, **CENTRED)
    axes.set(xlabel="candidates evaluated", ylabel="score", ymargin=0.12)
    figure.legend(**ABOVE)
    return figure


def landscapes(history: Rows, columns: Sequence[str]) -> Figure:
    """What a search by several columns met on its way: a panel for each column.

    Args:
      history: rows with `evaluated` and, of every column, `median_<column>` of the
        generation and `best_<column>` of the best network so far; None is a gap.
      columns: their names.
    """
    figure, all_axes = new_figure(3.6 * len(columns), 3.4, columns=len(columns))
    dots: dict[str, Any] = {"color": BLUE, "marker": ".", "alpha": 0.5}
    dots["ls"] = "-" if len(history) < MANY_GENERATIONS else ""
    line: dict[str, Any] = {"color": ORANGE, "drawstyle": "steps-post"}
    for axes, name in zip(all_axes, columns, strict=True):
        for key, label, style in (
            ("median_", "generation (median)", dots),
            ("best_", "best by the score so far", line),
        ):
            points = [(row["evaluated"], row.get(key + name)) for row in history]
            x, y = np.array(points, np.float64).T
            axes.plot(x, y, label=label, **style)
        low, high = axes.dataLim.intervaly
        if 0 < low < high / FEW_TIMES:
            axes.set_yscale("log")
        axes.set_title(name, loc="left")
        axes.set(xlabel="candidates evaluated")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, **ABOVE)
    return figure


def score_against_macs(
    candidates: Candidates,
    fronts: Mapping[str, Candidates],
    found: tuple[int, float] | None = None,
    bounds: Sequence[int] = (),
) -> Figure:
    """All candidates evaluated, Pareto fronts, the found network and the budget.

    Args:
      candidates: all that the search evaluated.
      fronts: by label, at most two; networks of rising score and cost.
      found: MACs and score of the found network; None to leave it out.
      bounds: the budget in MACs, drawn as vertical lines.
    """
    figure, (axes,) = new_figure(6.4, 4.2)
    macs, label = candidates.columns[MACS] / 1e6, f"{len(candidates)} candidates"
    axes.scatter(macs, candidates.scores, 14, BLUE, alpha=0.35, lw=0, label=label)
    for (label, front), colour in zip(fronts.items(), (INK, GREEN), strict=False):
        front = front[np.argsort(front.columns[MACS])]
        macs = front.columns[MACS] / 1e6
        axes.step(macs, front.scores, colour, where="post", label=label)
    for bound in np.array(bounds) / 1e6:
        axes.axvline(bound, color=MUTED, ls="--", label=f"budget {bound:.4g} M")
    if found is not None:
        x, y = found[0] / 1e6, found[1]
        axes.plot(x, y, "*", color=ORANGE, mec="white", ms=15, label="found network")
    axes.set(xlabel="multiply-adds (M)", ylabel="score")
    figure.legend(**ABOVE)
    return figure


def training_curves(supernet: Rows, retrain: Rows) -> Figure:
    """Loss of the supernet; loss and accuracy of the retrained network.

    Args:
      supernet: rows with `step` and `loss`; empty leaves its panel out.
      retrain: rows with `step`, `loss`, `accuracy`, at some steps `validation_loss`
        and `validation_accuracy`; empty leaves its panels out.
    """
    panels = [("supernet", "loss", supernet)] if supernet else []
    if retrain:
        panels += [("retraining", name, retrain) for name in ("loss", "accuracy")]
    figure, all_axes = new_figure(3.6 * len(panels), 3.2, columns=len(panels))
    for axes, (title, quantity, rows) in zip(all_axes, panels, strict=True):
        axes.set_title(title, loc="left")
        axes.set(xlabel="step", ylabel=quantity)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        _curve(axes, rows, quantity, "training", BLUE)
        _curve(axes, rows, f"validation_{quantity}", "validation", ORANGE)
        if quantity == "accuracy":
            axes.yaxis.set_major_formatter(ticker.PercentFormatter(1))
        axes.legend(frameon=False)
    return figure


def _curve(axes: Axes, rows: Rows, key: str, label: str, colour: str) -> None:
    points = [(row["step"], row[key]) for row in rows if key in row]
    if not points:
        return
    steps, values = np.array(points, np.float64).T
    if len(points) < MANY_POINTS:
        axes.plot(steps, values, ".-", ms=4, color=colour, label=label)
        return
    axes.plot(steps, values, color=colour, alpha=0.25, lw=0.8)
    window = len(points) // 50
    mean = np.convolve(values, np.full(window, 1 / window), "valid")
    axes.plot(steps[window // 2 :][: len(mean)], mean, color=colour, label=label)


def _cell(axes: Axes, layer: int, op: int, **style: Any) -> None:
    axes.add_patch(patches.Rectangle((op - 0.5, layer - 0.5), 1, 1, **style))


def new_figure(
    width: float, height: float, columns: int = 1, rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure of `width` x `height` inches in a common style, and its axes by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    all_axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[:].set_color(MUTED)
        axes.tick_params(color=MUTED, labelcolor=INK)
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        axes.ticklabel_format(useOffset=False)
    return figure, all_axes
