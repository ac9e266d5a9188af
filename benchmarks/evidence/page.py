"""The page of evidence, made from the kept numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import markdown
from benchmarks.evidence import results
from benchmarks.evidence.results import BASELINE, Quantity, Results
from benchmarks.evidence.rows import ROWS
from difnas_jax.runtime import files

PAGE = Path(__file__).with_name("EVIDENCE.md")

HEADER = """# Evidence on NAS-Bench-Macro

`python -m benchmarks.evidence --data=FILE --table=FILE` measures the rows that are
missing and rewrites this page from `results.csv`, which has more: bands of MACs, names
instead of networks, regret under four budgets, found networks, other scores of the same
supernets, cross-validation. `docs/evidence.md` says what it means.

Every network counts once; numbers in brackets are 95 % bootstrap intervals over
networks and seeds. Columns:

- *n*: networks that are ranked.
- *tau-b*, *rho*, *weighted*: Kendall's tau-b, Spearman's rho and Vigna's weighted tau
  between score and accuracy.
- *between seeds*: tau-b between the scores of two seeds.
- *without identity*: tau-b among the networks in which no layer is an identity.
- *regret*: the best accuracy in the table under 60 M MACs less that of the network of
  highest score, in percentage points.
- *gamma sum, ratio*: tau-b of the learned batch-norm scales of the same supernet,
  summed and as ratios to the identity of the layer.
- *seconds*: of one training on one core. Other work slowed some of them down, and of a
  training that was interrupted only the time after its continuation is counted.
- *images*: images times paths that passed through one supernet, those of measuring
  accuracies included.

"""
COLUMNS = (
    "row",
    "n",
    "tau-b",
    "between seeds",
    "rho",
    "weighted",
    "without identity",
    "regret",
    "gamma sum, ratio",
    "seconds",
    "images",
)


def page(kept: Results) -> str:
    """The text of the page."""
    rows = {name: kept[name] for name in ROWS if name in kept}
    lines = [_line(ROWS[name].title, row) for name, row in rows.items()]
    lines += [_line(name, row) for name, row in kept.items() if _is_baseline(name)]
    sources = [
        markdown.row(_source(ROWS[name].title, row)) for name, row in rows.items()
    ]
    source_columns = "row", "command", "machine", "versions"
    table = [*markdown.head(COLUMNS), *lines, ""]
    return HEADER + "\n".join([*table, *markdown.head(source_columns), *sources]) + "\n"


def write(kept: Results) -> None:
    """Write the numbers and the page."""
    results.write(kept)
    with files.atomic_write(PAGE) as file:
        file.write(page(kept))


def _is_baseline(name: str) -> bool:
    return name.startswith(BASELINE)


def _source(title: str, row: dict[str, Quantity]) -> Iterator[str]:
    yield title
    yield f"`{row['command'].value}`"
    yield row["machine"].value
    yield row["versions"].value


def _line(title: str, row: dict[str, Quantity]) -> str:
    def number(name: str, form: str = ".3f") -> str:
        return format(float(row[name].value), form) if name in row else ""

    tau = row["tau_b"]
    between = f" [{float(tau.low):.3f}, {float(tau.high):.3f}]" if tau.low else ""
    always_on = "" if "tau_b of gamma sum" in row else " zero"  # identity beside blocks
    scales = [number(f"tau_b of gamma {rule}{always_on}") for rule in ("sum", "ratio")]
    cells = (
        title,
        number("n", ".0f"),
        number("tau_b") + between,
        number("agreement"),
        number("spearman"),
        number("weighted_tau"),
        number("tau_b without identity"),
        number("regret under 60 M", ".2f"),
        ", ".join(filter(None, scales)),
        number("seconds of training", ".0f"),
        number("images", ",.0f"),
    )
    return markdown.row(cells)
