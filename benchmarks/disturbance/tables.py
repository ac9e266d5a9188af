"""Tables of rows, and how an estimate is shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from benchmarks import markdown
from benchmarks.disturbance.rows import ROWS
from benchmarks.disturbance.summary import (
    QUANTITIES,
    THIRDS,
    Estimate,
    Run,
    disturbance,
    over_runs,
    own_score,
)
from benchmarks.result_files import Results

COLUMNS = (
    "row",
    "seeds",
    *(f"disturbance, {third}" for third in THIRDS),
    *(f"of accuracy, {third}" for third in THIRDS),
    "loss",
    "tau, accuracy",
    "tau, effects",
    "regret",
    "room",
    "least",
    "memory",
)


def table(results: Results, names: Sequence[str]) -> list[str]:
    """The numbers of the rows of these names that have some."""
    shown = [name for name in names if name in results]
    rows = [_row(ROWS[name].title, results[name]["runs"]) for name in shown]
    return [*markdown.head(COLUMNS), *rows]


def _row(title: str, runs: list[Run]) -> str:
    return markdown.row((title, len(runs), *_cells(runs)))


def _cells(runs: list[Run]) -> Iterator[str]:
    for quantity, (scale, digits) in zip(QUANTITIES, ((1, 4), (100, 2)), strict=True):
        for third in THIRDS:
            yield shown(disturbance(runs, third, quantity), digits, scale)
    yield shown(over_runs(runs, "loss"), 3)
    yield shown(over_runs(runs, "accuracy", "tau_b"), 3)
    yield shown(over_runs(runs, "main_effects", "tau_b"), 3)
    yield shown(over_runs(runs, own_score(runs), "regret"), 2)
    yield shown(over_runs(runs, "space", "mean"), 3)
    yield shown(over_runs(runs, "space", "least"), 3)
    yield shown(over_runs(runs, "space", "bytes"), 1, 1e-6)


def shown(value: Estimate, digits: int, scale: float = 1) -> str:
    """`mean ± standard error`; empty where nothing was measured."""
    if math.isnan(value.mean):
        return ""
    error = "" if math.isnan(value.error) else f" ± {scale * value.error:.{digits}f}"
    return f"{scale * value.mean:.{digits}f}{error}"
