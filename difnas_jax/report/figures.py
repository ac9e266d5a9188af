"""The figures of the report: plain numbers in, matplotlib figures out.

Colours are those of Okabe and Ito, or one hue from light to dark, so that readers with
any colour vision tell them apart. The global state of pyplot is never touched.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import patches, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from difnas_jax.spaces.base import Architecture, SearchSpace

DPI = 160
PANEL = 4.3  # inches: as wide as a telephone, and three side by side on a wide page
INK, MUTED, LINE, PALE = "#1f2328", "#59636e", "#d0d7de", "#eef1f4"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
STRONGEST = 0.6  # opacity of a filled cell under its text
CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
DASHED = (0, (3, 2))
ABOVE = {"loc": "outside upper center", "ncols": 2, "frameon": False}
FEW_TIMES = 30  # a column that spans more is drawn on a logarithmic axis
MANY_GENERATIONS = 40  # more of them are dots that no line joins
MANY_POINTS = 100  # a longer curve is drawn as its running mean over the raw values
LONG_NAME = 5  # letters that fit above a cell; longer names stand upright
DIGITS = 4  # behind the point, at most

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
    """The indicator by layer and op, first layer on top; on hover with all digits.

    Args:
      table: float64[L, O], NaN where an op has no indicator.
      space: the search space; cells that it does not allow are hatched.
      architecture: the found network, outlined; empty for no outline.
      label: quantity and unit of the numbers.
    """
    names = [op.name for op in space.ops]
    width, longest = max(PANEL, 0.8 + 0.5 * space.num_ops), max(map(len, names))
    figure, axes = panel(0.6 + 0.26 * space.num_layers + 0.08 * longest, width)
    axes.set(xlim=(-0.5, space.num_ops - 0.5), ylim=(space.num_layers - 0.5, -0.5))
    turned = 90 if longest > LONG_NAME else 0
    axes.set_xticks(range(space.num_ops), names, rotation=turned)
    axes.set(yticks=range(space.num_layers), ylabel="layer")
    axes.set_title(label, size="medium")
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    for layer, op in np.argwhere(~space.allowed):
        _cell(axes, layer, op, facecolor=PALE, edgecolor=LINE, hatch="////", lw=0)
    low, high = np.nanmin(table), np.nanmax(table)
    span = max(high - low, 10.0**-DIGITS)
    digits = np.clip(2 - np.floor(np.log10(span)), 0, DIGITS).astype(int)
    for layer, op in np.argwhere(np.isfinite(table)):
        value = table[layer, op]
        shade, note = STRONGEST * (value - low) / span, f"{names[op]}: {value:.6g}"
        style: dict[str, Any] = {"facecolor": BLUE, "alpha": shade, "lw": 0}
        _cell(axes, layer, op, url=f"layer {layer}, {note}", **style)
        axes.text(op, layer, f"{value:.{digits}f}", color=INK, **CENTRED)
    for layer, op in enumerate(architecture):
        _cell(axes, layer, op, fill=False, edgecolor=ORANGE, lw=2.2, clip_on=False)
    return figure


def search_trajectory(history: Rows) -> Figure:
    """Best score so far and median of each generation by candidates evaluated.

    Args:
      history: rows with `evaluated`, `best` and `median`; None is drawn as a gap.
    """
    figure, axes = panel()
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


def landscapes(history: Rows, columns: Sequence[str]) -> list[Figure]:
    """What a search by several columns met on its way: a figure for each column.

    Args:
      history: rows with `evaluated` and, of every column, `median_<column>` of the
        generation and `best_<column>` of the best network so far; None is a gap.
      columns: their names.
    """
    dots: dict[str, Any] = {"color": BLUE, "marker": ".", "alpha": 0.5}
    dots["ls"] = "-" if len(history) < MANY_GENERATIONS else ""
    line: dict[str, Any] = {"color": ORANGE, "drawstyle": "steps-post"}
    drawn = []
    for name in columns:
        figure, axes = panel()
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
            axes.yaxis.set_major_formatter("{x:g}")
        axes.set(xlabel="candidates evaluated", ylabel=name)
        figure.legend(**ABOVE)
        drawn.append(figure)
    return drawn


def training_curves(rows: Rows, title: str, quantities: Sequence[str]) -> list[Figure]:
    """A figure for each quantity of a training.

    Args:
      rows: with `step`, the quantities, and at some steps `validation_<quantity>`.
      title: of the training.
      quantities: `loss` and `accuracy`, or one of them.
    """
    drawn = []
    for quantity in quantities:
        figure, axes = panel(3.2)
        axes.set_title(title, loc="left", size="medium")
        axes.set(xlabel="step", ylabel=quantity)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        _curve(axes, rows, quantity, "training", BLUE)
        _curve(axes, rows, f"validation_{quantity}", "validation", ORANGE)
        if quantity == "accuracy":
            axes.yaxis.set_major_formatter(ticker.PercentFormatter(1))
        axes.legend(frameon=False)
        drawn.append(figure)
    return drawn


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


def panel(height: float = 3.6, width: float = PANEL) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, `width` x `height` inches."""
    figure, (axes,) = new_figure(width, height)
    return figure, axes


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
