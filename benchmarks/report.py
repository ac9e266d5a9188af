"""The two result files: raw numbers, and the table made from them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.contestants import THREADS
from benchmarks.figures import FIGURES, Figure
from difnas_jax.runtime import files

FOLDER = Path(__file__).parent
RAW, TABLE = FOLDER / "results.json", FOLDER / "RESULTS.md"
PACKAGES = ("jax", "jaxlib", "flax", "torch", "numpy", "pillow")

HEADER = """# Benchmarks

`python -m benchmarks` measures everything, `python -m benchmarks fair single` a part;
both rewrite this page. They need `pip install -e '.[bench]'`.

The contestants of a comparison are processes that stay warm and work in turns, on the
same {threads} cores, with the same paths and synthetic images. Times are medians over
rounds; a ratio is the median of the ratios of each round. "Tuned torch" is PyTorch with
channels_last, raised malloc thresholds and huge pages, "default torch" is as installed;
ours has the huge pages that every run has (`difnas_jax/runtime.py`). Where
nothing else is said, the network is the 20-layer one of `network.py` at 32 x 32 pixels,
batch 32, and all batch norms train ("BN-only"). FLOPs count convolutions and the
classifier, forward and input gradient. Gradient bytes are the all-reduces of the
backward pass. Memory is the compiler's analysis on the CPU backend of the program with
native convolutions and channels last; no accelerator has run it.

| figure | ours | peer | ratio | goal | met? |
| --- | --: | --: | --: | --: | --- |
"""


def load() -> dict[str, Any]:
    """All results so far: name of the measurement -> provenance and `raw`."""
    return json.loads(RAW.read_text()) if RAW.exists() else {}


def write(results: dict[str, Any]) -> None:
    """Write both files."""
    files.write_json(RAW, results)
    shown = [figure for figure in FIGURES if figure.measurement in results]
    lines = [_row(figure, results[figure.measurement]["raw"]) for figure in shown]
    with files.atomic_write(TABLE) as file:
        file.write(HEADER.format(threads=THREADS))
        file.writelines(line + "\n" for line in [*lines, "", *_sources(results)])


def _row(figure: Figure, raw: dict[str, Any]) -> str:
    value = figure.value(raw)
    ratio = "" if value.ratio is None else f"{value.ratio:.3g}"
    goal = "stated" if figure.goal is None else f"<= {figure.goal:g}"
    met = ""
    if figure.goal is not None and value.ratio is not None:
        met = "yes" if value.ratio <= figure.goal else "**no**"
    return _cells((figure.title, value.ours, value.peer, ratio, goal, met))


def _sources(results: dict[str, Any]) -> list[str]:
    """Where each measurement comes from, as a table."""
    lines = [
        "| command | date | seed | machine | versions |",
        "| --- | --- | --: | --- | --- |",
    ]
    for result in results.values():
        versions = " ".join(" ".join(pair) for pair in result["versions"].items())
        keys = ("date", "seed", "machine")
        cells = (f"`{result['command']}`", *(result[key] for key in keys), versions)
        lines.append(_cells(cells))
    return lines


def _cells(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
