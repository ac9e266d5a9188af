"""The figure: disturbance over training, and what less of it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.disturbance.rows import (
    ALIGNED_AT,
    ALPHAS,
    METHODS,
    ROWS,
    UPDATES,
    VARIED,
    WARM_UPS,
    row_of,
    varied_name,
)
from benchmarks.disturbance.summary import THIRDS, disturbance, over_runs, over_steps
from benchmarks.result_files import Results
from difnas_jax.report import figures
from difnas_jax.report.figures import BLUE, GREEN, INK, ORANGE

COLOURS = dict(zip(UPDATES, (INK, BLUE, ORANGE), strict=True))
START_COLOURS = dict(zip(WARM_UPS, (INK, BLUE, ORANGE), strict=True))


def disturbance_figure(results: Results) -> Figure:
    """Disturbance by third for each method; loss and tau against it over alpha."""
    figure, axes = figures.new_figure(10.2, 6.4, columns=3, rows=2)
    for panel, method in zip(axes, METHODS, strict=False):
        _over_training(panel, results, method)
    if axes[0].containers:
        axes[0].legend(frameon=False, fontsize=8)
    about = METHODS[VARIED].title
    for panel, (label, *names) in zip(
        axes[3:5],
        (("training loss", "loss"), ("tau-b, all networks", "main_effects", "tau_b")),
        strict=True,
    ):
        _trade_off(panel, results, names)
        panel.set(xlabel="disturbance, first third (nats)", ylabel=label)
        panel.set_title(f"{about}, over alpha", loc="left")
    if axes[3].lines:
        axes[3].legend(frameon=False, fontsize=8)
    _alignment(axes[5], results)
    return figure


def _over_training(axes: Axes, results: Results, method: str) -> None:
    for shift, update in enumerate(UPDATES):
        name = row_of(method, update)
        if name in results:
            runs = results[name]["runs"]
            values = np.array([disturbance(runs, third, "loss") for third in THIRDS])
            means, errors = values.T
            where = np.arange(len(THIRDS)) + 0.12 * (shift - 1)
            style: dict[str, Any] = {"color": COLOURS[update], "label": update}
            axes.errorbar(where, means, errors, marker="o", ms=4, capsize=2, **style)
    axes.axhline(0, color=INK, lw=0.8)
    axes.set_xticks(range(len(THIRDS)), THIRDS)
    axes.set(ylabel="disturbance (nats)", xlabel="third of the training")
    axes.set_title(METHODS[method].title, loc="left")


def _alignment(axes: Axes, results: Results) -> None:
    for name, colour in (("affine_all", BLUE), ("affine_only", ORANGE)):
        runs = results.get(name, {"runs": []})["runs"]
        found = over_steps(runs, "alignment")
        for kind, style in (("kernels", "o-"), ("scales", "s--")):
            if kind in found:
                values = [value.mean for value in found[kind]]
                label = f"{kind}; {ROWS[name].title}"
                axes.plot(ALIGNED_AT, values, style, ms=4, color=colour, label=label)
    label = "cosine of gradients of two paths"
    axes.set(xlabel="update", ylabel=label, ylim=(0, 1))
    axes.set_title("main effects", loc="left")
    if axes.lines:
        axes.legend(frameon=False, fontsize=8)


def _trade_off(axes: Axes, results: Results, names: list[str]) -> None:
    """A curve over alpha for each warm-up, and the point of plain updates."""

    def point(name: str) -> tuple[float, float]:
        runs = results[name]["runs"]
        return disturbance(runs, "early", "loss").mean, over_runs(runs, *names).mean

    for start, colour in START_COLOURS.items():
        rows = [(alpha, varied_name(alpha, start)) for alpha in ALPHAS]
        found = [(alpha, *point(name)) for alpha, name in rows if name in results]
        if found:
            alphas, x, y = np.array(found).T
            label = f"projected from {start:g} on"
            axes.plot(x, y, "o-", ms=4, color=colour, label=label)
            for alpha, where in zip(alphas, zip(x, y, strict=True), strict=True):
                axes.annotate(
                    f"{alpha:g}",
                    where,
                    fontsize=6,
                    xytext=(3, 3),
                    textcoords="offset points",
                )
    if "varied_plain" in results:
        axes.plot(*point("varied_plain"), "*", color=GREEN, ms=12, label="plain")
