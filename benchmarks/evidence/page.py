"""The page of evidence, made from the kept numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import markdown
from benchmarks.evidence import results
from benchmarks.evidence.curves import learning_curves
from benchmarks.evidence.results import NULL, Quantity, Results
from benchmarks.evidence.rows import CURVES, ROWS, curve_rows
from difnas_jax.report.figures import png
from difnas_jax.runtime import files

PAGE = Path(__file__).with_name("EVIDENCE.md")
PICTURE = PAGE.parents[2] / "docs" / "evidence.png"

HEADER = """# Evidence on NAS-Bench-Macro

`python -m benchmarks.evidence --data=FILE --table=FILE` measures the rows that are
missing and rewrites this page from the files in `results/`, which have more: regret
under four budgets, found networks, other scores of the same supernets,
cross-validation. `docs/evidence.md` says what it means.

Every network counts once; numbers in brackets are 95 % bootstrap intervals over
networks and seeds, of one seed over networks alone. The rows of DI-NAS after 2,000
updates, of main effects in training and of accuracies of 50 networks are those of an
earlier sitting; their seconds are those at 8.5 and 4.7 updates a second, which an idle
core did, and at the speeds of the other rows of SPOS and FairNAS. Other work slowed 500
updates of batch norms alone down from the first to the last; their seconds are a
quarter of those of 2,000. Rows of 2026-11-28 trained while the other core trained, too,
which costs up to a fifth of the speed.

"""
RANKING = """## All rows

- *n*: networks that are ranked.
- *tau-b*, *rho*, *weighted*: Kendall's tau-b, Spearman's rho and Vigna's weighted tau
  between score and accuracy.
- *each seed*: tau-b of each supernet. *mean*: of the mean of their scores.
- *between seeds*: tau-b between the scores of two seeds.
- *without identity*: tau-b among the networks in which no layer is an identity.
- *regret*: the best accuracy in the table under 60 M MACs less that of the network of
  highest score, in percentage points.
- *gamma sum, ratio*: tau-b of the learned batch-norm scales of the same supernet,
  summed and as ratios to the identity of the layer. *main effects*: of those of the
  losses of its paths.
- *seconds*: of the updates of one training on one core, at the speed of the fastest
  tenth of its log, since other work slows it down; compilation is left out.
  *scoring*: of all networks that are ranked, with compilation.
- *images*: images times paths that passed through one supernet in its training, and
  those that were only evaluated for its scores.

"""
COLUMNS = (
    "row",
    "n",
    "tau-b",
    "each seed",
    "mean",
    "between seeds",
    "rho",
    "weighted",
    "without identity",
    "regret",
    "gamma sum, ratio",
    "main effects",
    "seconds",
    "scoring",
    "images",
    "evaluated",
)
CURVE = """## Learning curves

Tau-b by the images that passed through a path in the training. A strictly fair update
passes three paths of 32 images, one of BN-NAS, SPOS and disturbance-immune SPOS one.
Every number is that of trainings of their own, whose learning rate falls to 0. Behind
it stands what one of them costs with its scores, in seconds on one core once compiled;
an image that is only evaluated counts a third of one that trains. Accuracies are those
of 100 networks by 512 images each; at 96,000 images of 50 networks by 5,000.

"""


def page(kept: Results) -> str:
    """The text of the page."""
    rows = {name: kept[name] for name in ROWS if name in kept}
    lines = [_line(ROWS[name].title, row) for name, row in rows.items()]
    lines += [_line(name, row) for name, row in kept.items() if name.startswith(NULL)]
    sources = [
        markdown.row(_source(ROWS[name].title, row)) for name, row in rows.items()
    ]
    text = [HEADER + CURVE + "\n".join(_curves(kept))]
    text.append(RANKING + "\n".join([*markdown.head(COLUMNS), *lines]))
    if missing := [row.title for name, row in ROWS.items() if name not in kept]:
        text.append(f"Not run: {'; '.join(missing)}.")
    columns = "row", "command", "date", "machine", "versions"
    text.append("\n".join(["## Sources", "", *markdown.head(columns), *sources]))
    return "\n\n".join(text) + "\n"


def write(kept: Results, benchmark: str) -> None:
    """Write the numbers, the page and the picture."""
    results.write(kept, benchmark)
    with files.atomic_write(PAGE) as file:
        file.write(page(kept))
    with files.atomic_write(PICTURE, "wb") as file:
        file.write(png(learning_curves(kept)))


def number(row: dict[str, Quantity], name: str, form: str = ".3f") -> str:
    """A quantity as a text; empty where the row does not have it."""
    return format(float(row[name].value), form) if name in row else ""


def interval(row: dict[str, Quantity]) -> str:
    """Tau-b and its interval."""
    tau = row["tau_b"]
    between = f" [{float(tau.low):.3f}, {float(tau.high):.3f}]" if tau.low else ""
    return number(row, "tau_b") + between


def _curves(kept: Results) -> Iterator[str]:
    """A line for each learning curve."""
    cells = {
        name: {int(row["images of training"].value): _point(row) for row in points}
        for name, points in curve_rows(kept).items()
    }
    lengths = sorted({images for points in cells.values() for images in points})
    yield from markdown.head(("method", *(f"{images:,} images" for images in lengths)))
    for name, points in cells.items():
        texts = (points.get(images, "not run") for images in lengths)
        yield markdown.row([CURVES[name].title, *texts])


def _point(row: dict[str, Quantity]) -> str:
    seeds = len(row["tau_b of each seed"].value.split())
    few = "" if seeds == 3 else f", {seeds} seed{'s' * (seeds > 1)}"
    return f"{interval(row)}, {results.cost(row):.0f} s{few}"


def _source(title: str, row: dict[str, Quantity]) -> Iterator[str]:
    yield title
    yield f"`{row['command'].value}`"
    for name in ("date", "machine", "versions"):
        yield row[name].value if name in row else ""


def _line(title: str, row: dict[str, Quantity]) -> str:
    always_on = "" if "also gamma sum" in row else " zero"  # identity beside blocks
    scales = [number(row, f"also gamma {rule}{always_on}") for rule in ("sum", "ratio")]
    each = row["tau_b of each seed"].value.split() if "agreement" in row else []
    cells = (
        title,
        number(row, "n", ".0f"),
        interval(row),
        " ".join(f"{float(tau):.3f}" for tau in each),
        number(row, "tau_b of the mean") if each else "",
        number(row, "agreement"),
        number(row, "spearman"),
        number(row, "weighted_tau"),
        number(row, "tau_b without identity"),
        number(row, "regret under 60 M", ".2f"),
        ", ".join(filter(None, scales)),
        number(row, "also main_effect sum"),
        number(row, "seconds of training", ".0f"),
        number(row, "seconds of scoring", ".0f"),
        number(row, "images of training", ",.0f"),
        number(row, "images of scoring", ",.0f"),
    )
    return markdown.row(cells)
