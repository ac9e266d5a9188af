"""The page, made from the kept numbers."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from pathlib import Path

from benchmarks import markdown
from benchmarks.disturbance.affine import section
from benchmarks.disturbance.costs import CASES, ratios
from benchmarks.disturbance.rows import (
    AFFINE,
    FEWER,
    METHODS,
    ROWS,
    UPDATES,
    VARIED,
    VARIED_UPDATE,
    row_of,
)
from benchmarks.disturbance.summary import (
    Verdict,
    over_runs,
    verdicts,
)
from benchmarks.disturbance.tables import shown, table
from benchmarks.result_files import Results

FOLDER = Path(__file__).parent
RESULTS, PAGE = FOLDER / "disturbance.json", FOLDER / "DISTURBANCE.md"
FIGURE = FOLDER.parents[1] / "docs" / "disturbance.png"

HEADER = """# Performance disturbance and projected updates

`python -m benchmarks.disturbance --data=FILE --table=FILE` measures the rows that are
missing and rewrites this page from `disturbance.json`. `docs/disturbance.md` says what
it means. NAS-Bench-Macro, CIFAR-10 at 16 pixels; `±` is one standard error.

Columns:

- *disturbance*: the loss of a path after the next twelve paths trained, less that right
  after its own update, both with the same images and with batch-norm statistics of
  their own: positive where others disturb it. *Of accuracy* with the opposite sign, in
  percentage points. Means over the measured paths and seeds, by third of the training.
- *loss*: of the training, mean of its last tenth over seeds.
- *tau, accuracy*: tau-b of the validation accuracy, of 60 networks; *tau, effects*:
  tau-b of the main effects of the same supernet over all networks. *regret*: the best
  accuracy in the table under 60 M MACs less that of the network of highest score, which
  is the accuracy where the method scores by it, in percentage points.
- *room*: what is left at the end, mean over ops; of inputs trace(P) / d, the share of
  the space in which a kernel still learns; of gradients the share of the directions of
  an op in which nothing is stored yet; *least*: that of the op with the smallest.
- *memory*: of the projection, in MB.

"""
ASKED = """
## What is asked of projected updates

Where plain updates disturb by more than three standard errors: at most half of that
disturbance, at a training loss at most 2 % higher and a tau-b not lower.

"""
ASKED_COLUMNS = (
    "method",
    "update",
    "disturbance of",
    "third",
    "plain",
    "projected",
    "left",
    "loss",
    "tau",
    "kept",
)
BY_PART = """
## By part of the network

Disturbance of the loss, in thousandths, if only this part had trained on; mean over the
whole training and the seeds. `entry` is the stem and what else all paths share before
the first searchable layer, `rest` the head and the classifier.

"""
COSTS = """
## What a projected update costs

`python -m benchmarks.disturbance.costs`: at 224 pixels the first layer of each of the
six stages of `mbv2`, six ops a layer, and NAS-Bench-Macro at 16 pixels; all weights
train. Seconds of an update, medians of rounds in turns, and the median of their ratios
to plain updates; the project set itself 1.5 as the largest at the widths of
MobileNetV2. The memory is that of the projection, of the layers that are timed and of
all layers.

"""
MEMORY = {"MB, timed": "bytes", "MB, all layers": "bytes_of_whole"}


def page(results: Results, costs: Results) -> str:
    """The text of the page.

    Args:
      results: by row, as `disturbance.json` has them.
      costs: of updates, by case, as `costs.json` has them.
    """
    compared = [row_of(*pair) for pair in itertools.product(METHODS, UPDATES)]
    varied = [name for name, row in ROWS.items() if row.updates == FEWER]
    lines = [
        *table(results, compared),
        ASKED,
        *markdown.head(ASKED_COLUMNS),
        *(_asked(verdict) for verdict in verdicts(results)),
        BY_PART,
        *_parts(results, [*compared, *AFFINE]),
        *section(results),
        "\n## Strength, window and memory of the projection\n",
        f"{METHODS[VARIED].title}, {FEWER} updates, seed 0, `{VARIED_UPDATE}`.\n",
        *table(results, varied),
        COSTS,
        *markdown.head(("supernet", "batch", "update", "seconds", "ratio", *MEMORY)),
        *_costs(costs),
        "\n## Where the numbers come from\n",
        *markdown.sources({**results, **costs}),
    ]
    return HEADER + "\n".join(lines) + "\n"


def _parts(results: Results, names: list[str]) -> list[str]:
    known = {n: results[n]["runs"] for n in names if n in results}
    parts = list(next(iter(known.values()))[0]["parts"]) if known else []
    rows = [
        (ROWS[name].title, *(shown(over_runs(runs, "parts", p), 1, 1e3) for p in parts))
        for name, runs in known.items()
    ]
    return [*markdown.head(("row", *parts)), *map(markdown.row, rows)]


def _asked(verdict: Verdict) -> str:
    scale, digits = (1, 4) if verdict.quantity == "loss" else (100, 2)
    judged = "yes" if verdict.kept else "**no**"
    cells = (
        METHODS[verdict.method].title,
        f"`{verdict.update}`",
        verdict.quantity,
        verdict.third,
        shown(verdict.plain, digits, scale),
        shown(verdict.projected, digits, scale),
        f"{verdict.projected.mean / verdict.plain.mean:.2f}",
        f"{verdict.loss:.3f}",
        f"{verdict.tau:+.3f}",
        judged if verdict.disturbs else "not asked",
    )
    return markdown.row(cells)


def _costs(costs: Results) -> Iterator[str]:
    for name, result in costs.items():
        case = CASES[name]
        for kind in UPDATES:
            yield markdown.row(
                (
                    case.title,
                    case.batch_size,
                    f"`{kind}`",
                    f"{statistics.median(result['seconds'][kind]):.3f}",
                    f"{statistics.median(ratios(result, kind)):.2f}",
                    *(f"{result[name][kind] / 1e6:.0f}" for name in MEMORY.values()),
                )
            )
