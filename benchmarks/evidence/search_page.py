"""The page of the searches, made from the kept networks."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import markdown
from benchmarks.evidence.search_rows import SEARCHES as ROWS
from difnas_jax.runtime import files

FOLDER = Path(__file__).parent
SEARCHES = FOLDER / "searches.csv"
RANDOM = FOLDER / "random_search.csv"
PAGE = FOLDER / "SEARCHES.md"
# Epochs times images of one training of the benchmark.
TRAINING = {"nas_bench_macro": 50 * 50_000, "nas_bench_201": 200 * 50_000}
RANDOM_ROWS = (1, 8, 64)  # trainings of the random searches that are shown

HEADER = """# Searches, judged

`python -m benchmarks.evidence.searches` measures the rows that are missing and rewrites
this page from `searches.csv` and `random_search.csv`.

A search scores the networks that our half of the table holds, each once, and returns
the one of highest score under each budget of MACs (at 32 pixels); of equal scores the
one of fewest MACs. A cell is: its accuracy in the table (mean over seeds +- standard
deviation between seeds), the regret in points, which is what it lacks of the best
network within the budget, and after "=" how many networks a random search must train
as the benchmark does, and choose among by their true accuracy, to find as good a one in
the mean.

- *tau-b*: between score and accuracy among the networks that were scored, without a
  budget; mean over seeds.
- *seconds*: of one search on one core, without compilation; other work slowed some.
- *cost*: images times paths of one search, one at 16 pixels counted a quarter of one at
  32, as a share of those of one training of the benchmark. A random search of this cost
  trains no network: it returns any network, which is the row "random, 1 training"
  without its training.
"""


class Cell(NamedTuple):
    """What a row found under a budget on a data set.

    Attributes:
      accuracies: of the seeds.
      curve: trainings -> accuracy of random search there, the last one the best.
    """

    accuracies: list[float]
    curve: dict[int, float]

    def text(self) -> str:
        """Accuracy, regret and equal trainings."""
        mean, spread = np.mean(self.accuracies), np.std(self.accuracies)
        between = f" +- {spread:.2f}" if len(self.accuracies) > 1 else ""
        regret = list(self.curve.values())[-1] - mean
        enough = [n for n, accuracy in self.curve.items() if accuracy >= mean - 5e-5]
        return f"{mean:.2f}{between}, {regret:.2f} = {enough[0]}"


def load(path: Path) -> list[dict[str, str]]:
    """The lines of a file; none without one."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def page() -> str:
    """The text of the page."""
    found, curves = load(SEARCHES), load(RANDOM)
    parts = [HEADER]
    for benchmark in ROWS:
        own = [line for line in found if line["benchmark"] == benchmark]
        lines = [line for line in curves if line["benchmark"] == benchmark]
        for data_set in dict.fromkeys(line["data_set"] for line in lines):
            chosen = [line for line in lines if line["data_set"] == data_set]
            parts += [f"## {benchmark}, {data_set}\n", *_table(own, chosen), ""]
    return "\n".join(parts)


def write() -> None:
    """Write the page."""
    with files.atomic_write(PAGE) as file:
        file.write(page())


def _table(found: list[dict[str, str]], curves: list[dict[str, str]]) -> list[str]:
    """The lines of one table: those of one benchmark, and of one data set of it."""
    benchmark, data_set = curves[0]["benchmark"], curves[0]["data_set"]
    budgets = list(dict.fromkeys(line["budget"] for line in curves))
    curve = {
        budget: {
            int(line["trainings"]): float(line["accuracy"])
            for line in curves
            if line["budget"] == budget
        }
        for budget in budgets
    }
    heads = [f"under {budget} M" if budget else "any" for budget in budgets]
    lines = markdown.head(("search", "seeds", *heads, "tau-b", "seconds", "cost"))
    for name, row in ROWS[benchmark].items():
        own = [line for line in found if line["row"] == name]
        if not own:
            continue
        cells = [
            Cell([float(o[data_set]) for o in own if o["budget"] == b], curve[b]).text()
            for b in budgets
        ]
        seeds = len({line["seed"] for line in own})
        free = [o for o in own if not o["budget"]]
        tau = np.mean([float(line[f"tau_b {data_set}"]) for line in free])
        seconds = np.mean([float(line["seconds"]) for line in own])
        images = np.mean([float(line["images"]) for line in own])
        cost = images / TRAINING[benchmark]
        ends = f"{tau:.3f}", f"{seconds:.0f}", f"{cost:.4f}"
        lines.append(markdown.row((row.title, seeds, *cells, *ends)))
    for trainings in RANDOM_ROWS:
        cells = [_random(curves, budget, trainings) for budget in budgets]
        plural = "s" * (trainings > 1)
        title = f"random, {trainings} training{plural}"
        lines.append(markdown.row((title, "", *cells, "", "", trainings)))
    return lines


def _random(curves: list[dict[str, str]], budget: str, trainings: int) -> str:
    """The cell of a random search: accuracy, spread and regret."""
    own = [line for line in curves if line["budget"] == budget]
    best = float(own[-1]["accuracy"])
    (line,) = (line for line in own if line["trainings"] == str(trainings))
    accuracy, spread = float(line["accuracy"]), float(line["spread"])
    return f"{accuracy:.2f} +- {spread:.2f}, {best - accuracy:.2f}"
