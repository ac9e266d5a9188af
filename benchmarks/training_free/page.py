"""The page of training-free scores, made from the kept numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import markdown
from benchmarks.result_files import Results
from difnas_jax.runtime import files

FOLDER = Path(__file__).parent
PAGE, RESULTS = FOLDER / "TRAINING_FREE.md", FOLDER / "results.json"
DATA_SETS = ("CIFAR-10", "CIFAR-100", "ImageNet16-120")
# Tau-b on the 9,445 cells without unreachable ops (Tybl and Neumann, "Training-free
# neural architecture search through variance of knowledge of deep network weights",
# CVPR 2025, table 1, who ran all of them).
PUBLISHED = {
    "FLOPs": (0.623, 0.586, 0.545),
    "number of layers with weights": (0.626, 0.646, 0.623),
    "TE-NAS, two terms": (0.536, 0.537, 0.523),
    "AZ-NAS, four terms": (0.712, 0.696, 0.673),
    "VKDNW, five terms": (0.750, 0.753, 0.743),
    "GRAF, fitted": (0.820, 0.809, 0.796),
    "VKDNW, proxies and GRAF, fitted": (0.859, 0.847, 0.842),
}

HEADER = """# Combinations of training-free scores on NAS-Bench-201

`python -m benchmarks.training_free.combinations --name=NAME --table=FILE --csv FILE`
measures one section and rewrites this page from `results.json`. All numbers are
Kendall's tau-b with the test accuracies on CIFAR-10, CIFAR-100 and ImageNet16-120.

- *terms*: scores, of which the logarithms of their ranks are summed; nothing is fitted.
  `depth` and its like count the most ops with weights on a path of the cell, `large_`
  3x3 convolutions alone, `unpooled_` paths without pooling, `pool_paths` paths that
  pool and have no weights (fewer are better); `skip` is 1 if some path changes nothing.
- *chosen*: half of the networks chose the terms, step by step, and the numbers are
  those of the other half; means over ten such splits, in which no network is on both
  sides. The terms shown are those that were chosen most often, so many times of ten.
- *without*: the same sum without one of its terms, on all networks.
- *fitted*: ridge regression on path counts and products of two (`ranking/fitted.py`),
  from the accuracies of so many architectures, judged on all other networks. It is no
  training-free score.

"""


def page(results: Results) -> str:
    """The text of the page."""
    lines = [
        "## Published, by the authors of VKDNW",
        "",
        *markdown.head(("score", *DATA_SETS)),
    ]
    lines += [markdown.row([n, *_three(values)]) for n, values in PUBLISHED.items()]
    for name, result in results.items():
        lines += ["", *_section(name, result)]
    return HEADER + "\n".join([*lines, "", *markdown.sources(results)]) + "\n"


def write(results: Results) -> None:
    """Write the page."""
    with files.atomic_write(PAGE) as file:
        file.write(page(results))


def _section(name: str, result: dict[str, Any]) -> Iterator[str]:
    architectures, networks = result["networks"]
    yield f"## {name}: {architectures:,} architectures, {networks:,} networks"
    yield ""
    yield from markdown.head(("alone", *DATA_SETS))
    for term, values in result["alone"].items():
        yield markdown.row([term, *_three(values)])
    yield ""
    yield from markdown.head(("terms", "chosen", "times", *DATA_SETS))
    for row in result["chosen"]:
        cells = row["size"], row["terms"], row["times"], *_three(row["judged"])
        yield markdown.row(cells)
    yield ""
    yield from markdown.head(("sum of log ranks", "", *DATA_SETS))
    for terms, rows in result["ablation"].items():
        for title, values in rows.items():
            yield markdown.row([terms, title, *_three(values)])
            terms = ""
    yield ""
    head = "fitted to", "features", *DATA_SETS, "worst of five", "same size, CIFAR-10"
    yield from markdown.head(head)
    for features, rows in result["fitted"].items():
        for size, values in rows.items():
            cells = size, features, *_three(values["mean"])
            worst = " / ".join(_three(values["worst"]))
            yield markdown.row([*cells, worst, f"{values['same_size']:.3f}"])


def _three(values: Sequence[float]) -> list[str]:
    return [f"{value:.3f}" for value in values]
