"""The page of results, made from the kept values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks import markdown, result_files
from benchmarks.speed import scale
from benchmarks.speed.programs import THREADS
from benchmarks.speed.table_cells import measured_limits, over_floors
from benchmarks.speed.table_rows import TABLE_ROWS, TableRow
from difnas_jax.runtime import files

FOLDER = Path(__file__).parent
RESULTS, PAGE = FOLDER / "results.json", FOLDER / "RESULTS.md"
SCALE = FOLDER / "SCALE.md"

HEADER = """# Speed, memory and traffic

**Measured on {dates}, {machines}, with {versions}.**
Ratios between two libraries change with their versions and with the processor.

`python -m benchmarks.speed` measures everything again, `python -m benchmarks.speed fair
single` a part; both rewrite this page from `results.json`. They need `pip install -e
'.[bench]'`.

Programs that are compared run in processes of their own, in turns, on the same
{threads} cores, with the same paths and synthetic images. Times are medians over
rounds, and a ratio of times is the median of the ratios of each round. "PyTorch,
tuned" uses channels_last; "PyTorch, as installed" does not. difnas_jax and tuned
PyTorch keep their memory, in huge pages and one arena, as `make demo` does; PyTorch as
installed does not, nor do rows on input and those before 2026-11-26. In a strictly fair
update difnas_jax runs stem and fixed blocks once, PyTorch once for each path. The
network is the 20-layer one of `network.py` at 32 x 32 pixels with batch 32 in float32,
and the batch norms are all that trains ("BN-only"), unless a row says otherwise. FLOPs
count convolutions and the classifier, forward and input gradient. Gradient bytes are
the all-reduces of the backward pass. Memory is the compiler's analysis on the CPU
backend of the program with native convolutions and channels last.

Columns: what was measured; its value; what it is compared with, and the value of that;
the ratio of the first value to the second, or the number that the first column names;
the time of an update divided by the least time that it needs, and by that of an unfused
program (`floors.py`, with the bandwidth of the copy and the rate of the product that
`peak` measures); the largest ratio that the project set itself as a goal; whether the
goal was reached; the machine and the versions that the ratio holds for.
A ratio of two times below 1 means that the first is faster, above 1 that it is slower.

"""
COLUMNS = (
    "what was measured",
    "value",
    "compared with",
    "its value",
    "ratio",
    "floor",
    "goal",
    "reached",
    "measured with",
)


def page(results: result_files.Results) -> str:
    """The text of the page.

    Args:
      results: of `MEASUREMENTS`, with provenance, as `results.json` holds them.
    """
    shown = [row for row in TABLE_ROWS if row.measurement in results]
    lines = [_line(row, results[row.measurement], results.get("peak")) for row in shown]
    table = [*markdown.head(COLUMNS), *lines, "", *markdown.sources(results)]
    return _header(results) + "\n".join(table) + "\n"


def write(results: result_files.Results) -> None:
    """Write the values and the pages."""
    kept = result_files.write(RESULTS, results)
    with files.atomic_write(PAGE) as file:
        file.write(page(kept))
    if "collectives" in kept:
        with files.atomic_write(SCALE) as file:
            file.write(scale.page(kept))


def _header(results: result_files.Results) -> str:
    days = sorted(result["date"][:10] for result in results.values())
    dates = " to ".join(dict.fromkeys((days[0], days[-1])))
    machines = " and ".join({result["machine"]: 0 for result in results.values()})
    versions = {name: 0 for result in results.values() for name in _versions(result)}
    return HEADER.format(
        dates=dates, machines=machines, versions=", ".join(versions), threads=THREADS
    )


def _line(row: TableRow, result: dict[str, Any], peak: dict[str, Any] | None) -> str:
    values = result["values"]
    cells = row.cells(values)
    ratio = "" if cells.ratio is None else f"{cells.ratio:.3g}"
    goal, reached = "", ""
    if row.goal is not None and cells.ratio is not None:
        goal = f"<= {row.goal:g}"
        reached = "yes" if cells.ratio <= row.goal else "**no**"
    floor = ""
    if cells.update and peak and peak["machine"] == result["machine"]:
        limits = measured_limits(peak["values"])
        floor = over_floors(values, cells.update, limits) if limits else ""
    source = ", ".join([result["machine"], *_versions(result)]) if ratio else ""
    shown = row.title, cells.value, row.reference, cells.reference, ratio, floor
    return markdown.row((*shown, goal, reached, source))


def _versions(result: dict[str, Any]) -> list[str]:
    versions = result["versions"]
    return [f"{name} {versions[name]}" for name in ("jax", "torch") if name in versions]
