"""A ranking of scores against a benchmark table: as text, files and a page."""

import csv
import dataclasses
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from difnas_jax.ranking.combiners import rank_shares
from difnas_jax.ranking.comparison import Scores
from difnas_jax.ranking.evaluation import Numbers
from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.report.figures import BLUE, panel
from difnas_jax.report.page import environment
from difnas_jax.report.svg import svg
from difnas_jax.runtime import files
from difnas_jax.runtime.columns import ARCHITECTURE, INDEX
from difnas_jax.scoring.proxies import COLUMNS, PROXIES, PROXY_OF
from difnas_jax.scoring.proxies.base import Proxy
from difnas_jax.scoring.score_files import oriented

NAME = "ranking"
WORST = 0.05  # share of the networks that the figures leave out
UNMEASURED = "How columns of these names are made, unless a config says otherwise"
ORIGIN = ("what", "better", "images", "batch", "network", "kernels", "batch norm")
# Numbers of `sweep.Cost` and their titles.
COSTS = {
    "each_s": "compiled",
    "with_compile_s": "with compilation",
    "compile_s": "compilation, once",
}
# The title of a column of the table -> its text, from the `Numbers` of a score.
SHOWN = {
    "tau-b": "{tau_b:.3f} [{tau_b_low:.3f}, {tau_b_high:.3f}]",
    "repeats": "± {tau_b_spread:.3f}",
    "Spearman": "{spearman:.3f} [{spearman_low:.3f}, {spearman_high:.3f}]",
    "same size": "{same_params:.3f}",
    "best tenth": "{best_tenth:.3f}",
    "distinct": "{distinct:.3f}",
    "chosen": "{chosen_accuracy:.2f}",
    "regret": "{regret:.2f}",
    "not finite": "{non_finite:.0f}",
}
LEGEND = """\
Tau-b and Spearman stand with 95 % intervals over networks (jackknife). Repeats: the
standard deviation of tau-b over seeds. Same size: tau-b among networks of equal
parameter count, weighted. Best tenth: tau-b among the most accurate tenth. Distinct:
tau-b with each network once. Chosen: the accuracy of the network of highest score;
regret: how much it lacks of the best one, both in percentage points. Not finite: how
many values rank worst for it. All but tau-b and Spearman stand without an interval."""


@dataclasses.dataclass(frozen=True)
class Results:
    """What a ranking has found.

    Attributes:
      about: where it comes from, by name.
      numbers: of `ranking.evaluation`, by data set and score.
      costs: of each proxy in seconds, see `sweep.Cost`; empty where the columns come
        from other files.
    """

    about: Mapping[str, Any]
    numbers: Mapping[str, Mapping[str, Numbers]]
    costs: Mapping[str, Mapping[str, float]]

    def tables(self) -> dict[str, list[list[str]]]:
        """Tables by title, each with its head and rows of cells."""
        tables = {}
        for data_set, rows in self.numbers.items():
            (first, *_) = rows.values()
            cells = [[name, *_cells(numbers)] for name, numbers in rows.items()]
            tables[f"{data_set}, {first['n']} architectures"] = [
                ["score", *SHOWN],
                *cells,
            ]
        kernels = self.about.get("method.proxy_kernels", "")
        if origins := [[n, *_origin(n, kernels)] for n in rows if n in COLUMNS]:
            title = "How the columns are made" if self.costs else UNMEASURED
            tables[title] = [["column", *ORIGIN], *origins]
        if self.costs:
            costs = [
                [name, *(f"{cost[key]:.3g}" for key in COSTS)]
                for name, cost in self.costs.items()
            ]
            tables["Seconds for one architecture"] = [
                ["proxy", *COSTS.values()],
                *costs,
            ]
        return tables

    def lines(self) -> list[str]:
        """All tables in Markdown, line by line."""
        lines = [LEGEND, ""]
        for title, (head, *rows) in self.tables().items():
            marked = [head, ["---"] * len(head), *rows]
            lines += [f"## {title}", "", *(f"| {' | '.join(r)} |" for r in marked), ""]
        return lines + [f"- {name}: {value}" for name, value in self.about.items()]


def _cells(numbers: Numbers) -> list[str]:
    """The texts of `SHOWN`; "-" where a number is not defined."""
    texts = []
    for text in SHOWN.values():
        try:
            texts.append(text.format(**numbers))
        except TypeError:  # of the format of None
            texts.append("-")
    return texts


def _origin(name: str, kernels: str) -> list[str]:
    """The texts of `ORIGIN`; a count needs neither network nor images.

    Args:
      name: of the column.
      kernels: of all networks; empty: as each row declares.
    """
    column, proxy = COLUMNS[name], PROXIES[PROXY_OF[name]]
    better = "larger" if column.higher_is_better else "smaller"
    texts = {
        field: str(getattr(proxy, field.replace(" ", "_"), "-")) for field in ORIGIN[2:]
    }
    if kernels and isinstance(proxy, Proxy):
        texts["kernels"] = kernels
    return [column.meaning, better, *texts.values()]


def scatter(
    scores: Scores, accuracies: np.ndarray, numbers: Mapping[str, Numbers]
) -> list[Figure]:
    """Accuracy against the rank of every score.

    Args:
      scores: float64[S, N], of which the first repeat is drawn.
      accuracies: float64[N], in percent; the worst twentieth is below the axis.
      numbers: of each score.
    """
    low, high = np.quantile(accuracies, WORST), accuracies.max()
    drawn = []
    for name, repeats in scores.items():
        figure, axes = panel(3.2)
        ranks = rank_shares(repeats[:1].T)[:, 0]
        axes.plot(ranks, accuracies, ".", ms=3, mew=0, color=BLUE, rasterized=True)
        tau = numbers[name]["tau_b"]
        shown = "not defined" if tau is None else f"{tau:.3f}"
        title = "\n".join(textwrap.wrap(f"{name}: tau-b {shown}", 44))
        axes.set_title(title, loc="left", size="medium")
        axes.set(xlim=(0, 1), ylim=(low, high + 0.02 * (high - low)))
        axes.set(xlabel="rank of the score, the best at 1", ylabel="accuracy [%]")
        drawn.append(figure)
    return drawn


def write(
    workdir: Path, results: Results, table: BenchmarkTable, scores: Scores
) -> None:
    """Write `ranking.md`, `.csv`, `.json` and `.html`, and `scores.csv`.

    The last has the first repeat of every score by architecture, with the sign of its
    column, so that it can be ranked again.

    Args:
      workdir: the folder.
      results: what was found.
      table: N architectures.
      scores: float64[S, N], larger for better networks.
    """
    first = {name: rows[0].tolist() for name, rows in oriented(scores).items()}
    with files.atomic_write(workdir / "scores.csv") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow([INDEX, ARCHITECTURE, *first])
        lines.writerows(
            zip(
                table.index.tolist(), table.names.tolist(), *first.values(), strict=True
            )
        )
    files.write_json(workdir / f"{NAME}.json", dataclasses.asdict(results))
    with files.atomic_write(workdir / f"{NAME}.md") as file:
        file.writelines(f"{line}\n" for line in results.lines())
    flat = [
        {"data_set": data_set, "score": name, **numbers}
        for data_set, rows in results.numbers.items()
        for name, numbers in rows.items()
    ]
    with files.atomic_write(workdir / f"{NAME}.csv") as file:
        writer = csv.DictWriter(file, flat[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    images = {
        name: [
            svg(figure, f"{name}{number}")
            for number, figure in enumerate(scatter(scores, v, results.numbers[name]))
        ]
        for name, v in table.by_data_set.items()
    }
    with files.atomic_write(workdir / f"{NAME}.html") as file:
        text = (
            environment()
            .get_template(f"{NAME}.html.j2")
            .render(
                about=results.about,
                legend=LEGEND,
                tables=results.tables(),
                images=images,
            )
        )
        file.write(text)
