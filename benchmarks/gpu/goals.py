"""What the measurement should show: ratios to PyTorch, and seconds of compilation."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import markdown, result_files
from benchmarks.gpu.parts import PARTS

Values = dict[str, Any]
NOT_RUN = "not run"
FILLED = ", filled cache"


def seconds_of_path(name: str, values: Values) -> float:
    """Piped, for each path of an update."""
    return values["piped"] / PARTS[name].paths


def bytes_of_image(name: str, values: Values) -> float:
    """Peak memory for each image and path that is held at once."""
    return values["peak_bytes"] / PARTS[name].in_flight


def seconds_to_compile(values: Values) -> float | None:
    """From nothing to a compiled program; None before it is compiled."""
    phases = "trace", "lower", "compile"
    if any(phase not in values for phase in phases):
        return None
    return sum(values[phase] for phase in phases)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A ratio that is to be small.

    Attributes:
      quantity: what is compared.
      value: (part, its values) -> the number of which the ratio is made.
      ours: part of difnas_jax.
      torch: part of PyTorch.
      most: the largest ratio that is good enough; None without a goal.
    """

    quantity: str
    value: Callable[[str, Values], float]
    ours: str
    torch: str
    most: float | None = None


TIME, MEMORY = ("time of a path", seconds_of_path), ("memory", bytes_of_image)
COMPARISONS = (
    Comparison(*TIME, "fair_scan", "fair_torch", 0.6),
    Comparison(*TIME, "fair_scan", "path_torch_compiled", 0.8),
    Comparison(*MEMORY, "fair_scan", "fair_torch", 1.0),
    Comparison(*TIME, "fair_side_by_side", "fair_torch", 0.6),
    Comparison(*TIME, "fair_side_by_side", "path_torch_compiled", 0.8),
    Comparison(*MEMORY, "fair_side_by_side", "fair_torch", 1.0),
    Comparison(*TIME, "retrain", "retrain_torch", 0.6),
    Comparison(*TIME, "retrain", "retrain_torch_compiled", 0.9),
    Comparison(*MEMORY, "retrain", "retrain_torch"),
    Comparison(*TIME, "weights", "weights_torch"),
    Comparison(*MEMORY, "weights", "weights_torch"),
    Comparison(*TIME, "cifar", "cifar_torch"),
    Comparison(*TIME, "float32", "float32_torch"),
)
# Seconds to trace, lower and compile.
MOST_SECONDS = {
    "fair_scan": 90,
    "fair_side_by_side": 90,
    "fair_scan_warm": 20,
    "fair_side_by_side_warm": 20,
}


def lines(results: result_files.Results) -> Iterator[str]:
    """The table of comparisons; of memory for each image and path held at once."""
    yield from markdown.head(("what", "of", "over", "ratio", "goal", "reached"))
    for one in COMPARISONS:
        titles = PARTS[one.ours].title, PARTS[one.torch].title
        verdict = _verdict(ratio(one, results), one.most, ".2f")
        yield markdown.row((one.quantity, *titles, *verdict))
    for name, most in MOST_SECONDS.items():
        title = PARTS[name].title + FILLED * bool(PARTS[name].compiled_by)
        seconds = seconds_to_compile(results.get(name, {}).get("values", {}))
        verdict = _verdict(seconds, most, ".1f")
        yield markdown.row(("seconds to compile", title, "", *verdict))


def ratio(one: Comparison, results: result_files.Results) -> float | None:
    """The ratio; None unless one run measured both."""
    names = one.ours, one.torch
    runs = {results.get(name, {}).get("date", name) for name in names}
    with contextlib.suppress(KeyError):
        ours, torch = (one.value(name, results[name]["values"]) for name in names)
        return ours / torch if len(runs) == 1 else None
    return None


def _verdict(value: float | None, most: float | None, form: str) -> tuple[str, ...]:
    goal = "" if most is None else f"<= {most:g}"
    if value is None:
        return NOT_RUN, goal, ""
    reached = "" if most is None else "yes" if value <= most else "**no**"
    return format(value, form), goal, reached
