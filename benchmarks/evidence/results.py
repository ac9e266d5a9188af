"""The kept numbers of all rows, in one CSV file.

A line is a quantity of a row: `row, quantity, value, low, high`, the last two being a
95 % interval where there is one. Quantities that are text say where the row comes from.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from difnas_jax.runtime import files

PATH = Path(__file__).with_name("results.csv")
COLUMNS = ("row", "quantity", "value", "low", "high")
BASELINE = "baseline: "
BEST = "best of the table"
DIGITS = 6  # significant digits of a number
MOST_FOUND = 3  # networks that are named; random rankings find more


class Quantity(NamedTuple):
    """A value as text, and the bounds of its interval or empty texts."""

    value: str
    low: str = ""
    high: str = ""


Results = dict[str, dict[str, Quantity]]


def load(path: Path = PATH) -> Results:
    """Row -> quantity -> value; empty without a file."""
    results: Results = {}
    if path.exists():
        with open(path, newline="") as file:
            for line in csv.DictReader(file):
                quantity = Quantity(line["value"], line["low"], line["high"])
                results.setdefault(line["row"], {})[line["quantity"]] = quantity
    return results


def write(results: Results, path: Path = PATH) -> None:
    """Write all rows."""
    with files.atomic_write(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for row, quantities in results.items():
            for name, quantity in quantities.items():
                rows.writerow((row, name, *quantity))


def quantities(result: dict[str, Any]) -> dict[str, Quantity]:
    """What is kept of a `result.json` of `judge`."""
    versions = " ".join(" ".join(pair) for pair in result["versions"].items())
    texts = {
        "command": result["command"],
        "date": result.get("date", ""),
        "machine": result["machine"],
        "versions": versions,
    }
    found = {name: Quantity(text) for name, text in texts.items() if text}
    seconds = [float(sum(part.values())) for part in result["seconds"]]
    training = [part["supernet"] for part in result["seconds"]]
    found |= {
        "seconds": _mean(seconds),
        "seconds of training": _mean(training),
        "images": Quantity(str(result["images"][0])),
        **_correlations("", result),
        **_correlations(" over names", result["strings"], ("n", "tau_b")),
        **_correlations(" without identity", result["no_identity"], ("n", "tau_b")),
    }
    for band in result["macs_bands"]:
        where = f" from {band['above']} to {band['up_to']} M MACs"
        found |= _correlations(where, band, ("tau_b",))
    seeds = result["seeds"]
    for name in ("agreement", "tau_b_of_mean"):
        if seeds[name] is not None:
            found[name.replace("_of_", " of ")] = Quantity(_text(seeds[name]))
    found["tau_b of each seed"] = _list(seeds["tau_b"])
    for name, row in result["other_scores"].items():
        if row["tau_b"] is not None:
            found[f"tau_b of {name}"] = Quantity(_text(row["tau_b"]))
    if choice := result.get("cross_validation"):
        times = [f"{name}: {n}" for name, n in choice["chosen"].items()]
        found["chosen in cross-validation"] = Quantity(", ".join(times))
        bounds = map(_text, choice["range"])
        found["tau_b in cross-validation"] = Quantity(_text(choice["tau_b"]), *bounds)
    return found | dict(_choices(result))


def baseline_quantities(result: dict[str, Any]) -> Results:
    """The same of the baselines of a result, and the best networks of the table."""
    best = {
        f"found {_where(one['budget'])}": Quantity(
            f"{one['best']} {one['best_accuracy']:.2f}"
        )
        for one in result["regret"]
    }
    rows = {
        f"{BASELINE}{name}": _correlations("", row) | dict(_choices(row))
        for name, row in result["baselines"].items()
    }
    return {**rows, BEST: best}


def _correlations(
    where: str,
    row: dict[str, Any],
    names: tuple[str, ...] = ("n", "tau_b", "spearman", "weighted_tau"),
) -> dict[str, Quantity]:
    """Correlations that are defined; their names end with where they hold."""
    return {
        f"{name}{where}": Quantity(
            _text(row[name]), *map(_text, row.get(f"{name}_interval") or ())
        )
        for name in names
        if row[name] is not None
    }


def _choices(row: dict[str, Any]) -> Iterator[tuple[str, Quantity]]:
    """Regret under each budget, and the networks that are found."""
    for one in row["regret"]:
        where = _where(one["budget"])
        yield f"regret {where}", Quantity(_text(one["regret"]))
        pairs = dict(zip(one["found"], one["accuracies"], strict=True))
        if len(pairs) <= MOST_FOUND:
            found = ", ".join(f"{name} {value:.2f}" for name, value in pairs.items())
            yield f"found {where}", Quantity(found)


def _where(budget: int | None) -> str:
    return "without budget" if budget is None else f"under {budget // 10**6} M"


def _mean(values: list[float]) -> Quantity:
    return Quantity(_text(sum(values) / len(values)))


def _list(values: list[float | None]) -> Quantity:
    return Quantity(" ".join("" if x is None else _text(x) for x in values))


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.{DIGITS}g}"
