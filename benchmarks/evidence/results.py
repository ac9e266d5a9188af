"""The kept numbers of all rows, in small CSV files.

Each file is a table with a line for each row and a column for each quantity, behind
which stand its 95 % interval, `low` and `high`, where it has one. Quantities that are
text say where the row comes from.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.runtime import files

FOLDER = Path(__file__).with_name("results")
NULL = "null: "  # begins the names of rows that need no training
BEST = "best of the table"
DIGITS = 6  # significant digits of a number
MOST_FOUND = 3  # networks that are named; random rankings find more
RANKINGS = "rankings"
# How the names of quantities begin -> the table that has them; else `RANKINGS`.
TABLES = {
    "regret ": "regret",
    "found ": "regret",
    "also ": "other_scores",
    "command": "sources",
    "date": "sources",
    "machine": "sources",
    "versions": "sources",
}
NAMES = (RANKINGS, *dict.fromkeys(TABLES.values()))
BOUNDS = " low", " high"


class Quantity(NamedTuple):
    """A value as text, and the bounds of its interval or empty texts."""

    value: str
    low: str = ""
    high: str = ""


Results = dict[str, dict[str, Quantity]]


def load(benchmark: str, folder: Path = FOLDER) -> Results:
    """Row -> quantity -> value; empty without files."""
    results: Results = {}
    for name in NAMES:
        path = folder / benchmark / f"{name}.csv"
        if path.exists():
            with open(path, newline="") as file:
                for line in csv.DictReader(file):
                    results.setdefault(line.pop("row"), {}).update(_quantities(line))
    return results


def ranked_scores(folder: Path, table: BenchmarkTable) -> np.ndarray:
    """The `scores.csv` of a result of `judge`.

    Returns:
      float64[S, N], one row for each seed; NaN for a name that was not ranked.
    """
    with open(folder / "scores.csv", newline="") as file:
        rows = {row["architecture"]: row for row in csv.DictReader(file)}
    seeds = [name for name in next(iter(rows.values())) if name.startswith("score_")]
    lines = [rows.get(name, {}) for name in table.names.tolist()]
    return np.array([[float(one.get(seed, "nan")) for one in lines] for seed in seeds])


def _quantities(line: dict[str, str]) -> dict[str, Quantity]:
    """Those that the row has."""
    return {
        name: Quantity(value, *(line.get(name + bound, "") for bound in BOUNDS))
        for name, value in line.items()
        if value and not name.endswith(BOUNDS)
    }


def write(results: Results, benchmark: str, folder: Path = FOLDER) -> None:
    """Write all rows."""
    (folder / benchmark).mkdir(parents=True, exist_ok=True)
    for table in NAMES:
        cells = {row: dict(_cells(found, table)) for row, found in results.items()}
        columns = dict.fromkeys(name for line in cells.values() for name in line)
        with files.atomic_write(folder / benchmark / f"{table}.csv") as file:
            lines = csv.DictWriter(file, ["row", *columns], lineterminator="\n")
            lines.writeheader()
            lines.writerows({"row": r, **line} for r, line in cells.items() if line)


def _cells(row: dict[str, Quantity], table: str) -> Iterator[tuple[str, str]]:
    """The columns of a table and their texts."""
    for name, quantity in row.items():
        begins = [found for start, found in TABLES.items() if name.startswith(start)]
        if (begins or [RANKINGS])[0] == table:
            yield name, quantity.value
            if quantity.low:
                yield from zip((name + b for b in BOUNDS), quantity[1:], strict=True)


def cost(row: dict[str, Quantity]) -> float:
    """Seconds of a training and of what it scores by, on one core, once compiled.

    An image that a network only evaluates counts as a third of one that trains it:
    there is no way back.
    """
    trained, scored = (
        float(row[f"images of {part}"].value) if f"images of {part}" in row else 0
        for part in ("training", "scoring")
    )
    return float(row["seconds of training"].value) * (1 + scored / trained / 3)


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
    found |= _correlations("", result)
    found |= _correlations(" without identity", result["no_identity"], ("n", "tau_b"))
    seeds = result["seeds"]
    for name, value in (
        ("agreement", seeds["agreement"]),
        ("tau_b of the mean", seeds["tau_b_of_mean"]),
    ):
        if value is not None:
            found[name] = Quantity(_text(value))
    found["tau_b of each seed"] = _list(seeds["tau_b"])
    for quantity in ("seconds", "images"):
        for part, title in (("supernet", "training"), ("scoring", "scoring")):
            values = [one[part] for one in result.get(quantity, ()) if part in one]
            if any(values):
                mean = sum(values) / len(values)
                found[f"{quantity} of {title}"] = Quantity(_text(mean))
    for name, row in result["other_scores"].items():
        if row["tau_b"] is not None:
            found[f"also {name}"] = Quantity(_text(row["tau_b"]))
    if choice := result.get("cross_validation"):
        times = [f"{name}: {n}" for name, n in choice["chosen"].items()]
        found["also chosen in cross-validation"] = Quantity(", ".join(times))
        bounds = map(_text, choice["range"])
        judged = Quantity(_text(choice["tau_b"]), *bounds)
        found["also tau_b in cross-validation"] = judged
    return found | dict(_choices(result))


def null_quantities(rows: dict[str, Any]) -> Results:
    """What is kept of `judge.null_rows`, and the best networks of the table."""
    found = {
        f"{NULL}{name}": _correlations("", row) | dict(_choices(row))
        for name, row in rows.items()
    }
    (row, *_) = rows.values()
    best = {
        f"found {_where(one['budget'])}": Quantity(
            f"{one['best']} {one['best_accuracy']:.2f}"
        )
        for one in row["regret"]
    }
    return {**found, BEST: best}


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


def _list(values: list[float | None]) -> Quantity:
    return Quantity(" ".join("" if x is None else _text(x) for x in values))


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.{DIGITS}g}"
