"""The table that compares methods, what they cost, and its files."""

import csv
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from difnas_jax.runtime import artifacts, files
from difnas_jax.scoring.path_losses import measured_images

NOT_RUN = "not run"
# Number of a row -> its format and its title in the table.
NUMBERS = {
    "macs": ("{:,.0f}", "MACs"),
    "params": ("{:,.0f}", "parameters"),
    "score": ("{:.5g}", "score"),
    "test_accuracy": ("{:.2%}", "top-1"),
    "test_top5_accuracy": ("{:.2%}", "top-5"),
    "epochs": ("{:.4g}", "epochs"),
    "seconds": ("{:.1f}", "search [s]"),
    "device_days": ("{:.3g}", "search [device-days]"),
    "images": ("{:,.0f}", "search [images]"),
    "update_ms": ("{:.1f}", "update [ms]"),
    "path_ms": ("{:.1f}", "path [ms]"),
}
TRAINING = ("supernet", "indicator")
SECONDS_OF_A_DAY = 86_400
Row = dict[str, Any]


def search_cost(config: ConfigDict, workdir: Path, stages: Mapping[str, float]) -> Row:
    """What supernet, indicator and the chosen search cost, see `NUMBERS`.

    Args:
      config: of a finished run.
      workdir: of the same.
      stages: seconds of each stage.
    """
    supernet, path = {"images": 0, "epochs": 0.0}, workdir / artifacts.SUPERNET_RESULT
    if path.exists():  # a score may do without a supernet
        supernet = files.read_json(path, ("images", "epochs"))
    keys = ("chosen", "rows", "images")
    found = files.read_json(workdir / artifacts.COMPARISON, keys)
    chosen = {row["algorithm"]: row for row in found["rows"]}[found["chosen"]]
    measured = measured_images(config) if "indicator" in stages else 0
    scored = chosen["evaluated"] * found["images"]
    seconds = chosen["seconds"] + sum(stages.get(s, 0.0) for s in TRAINING)
    return {
        "epochs": supernet["epochs"],
        "seconds": seconds,
        "device_days": jax.device_count() * seconds / SECONDS_OF_A_DAY,
        "images": supernet["images"] + measured + scored,
    }


def table(rows: Sequence[Row]) -> list[str]:
    """A Markdown table of the rows, with mean and standard deviation of each method."""
    head = ["method", "seed", "architecture", *(title for _, title in NUMBERS.values())]
    lines = [_line(head), _line(["---"] * len(head))]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        for row in own:
            numbers = (_shown(name, [row]) for name in NUMBERS)
            lines.append(_line([method, row["seed"], row["architecture"], *numbers]))
        if len(own) > 1:
            spreads = (_shown(name, own) for name in NUMBERS)
            lines.append(_line([method, "mean ± sd", f"{len(own)} seeds", *spreads]))
    return lines


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _shown(name: str, rows: Sequence[Row]) -> str:
    """A number, or the mean and standard deviation of several that differ."""
    values = [row[name] for row in rows]
    if None in values:
        ran = all(row["macs"] is not None for row in rows)
        return "-" if ran else NOT_RUN
    shown = values[:1]
    if len(set(values)) > 1:
        shown = [statistics.mean(values), statistics.stdev(values)]
    return " ± ".join(NUMBERS[name][0].format(number) for number in shown)


def write(workdir: Path, rows: Sequence[Row], lines: Sequence[str]) -> None:
    """Write the three files of the comparison."""
    files.write_json(workdir / "comparison.json", {"rows": list(rows)})
    with files.atomic_write(workdir / "comparison.md") as file:
        file.writelines(f"{line}\n" for line in lines)
    with files.atomic_write(workdir / "comparison.csv") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
