"""The page of `eigennas`, made from its kept results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import markdown, result_files
from benchmarks.eigennas.networks import BATCH_SIZE, DESCENTS
from benchmarks.eigennas.rows import IMAGES, LABELLED, PARTS, WIDTHS, Row
from difnas_jax.ranking.correlation import correlations, kendall_tau_b
from difnas_jax.ranking.selection import choice

FOLDER = Path(__file__).parent
RESULTS, PAGE, FIGURE = "eigennas.json", "EIGENNAS.md", "eigennas.png"
BOUNDS = "bounds"
TOP = 20  # networks by score, of which the best by validation accuracy is taken
RANDOM_CHOICES = 1000
# What ranks networks: a number of a row, more is better.
SCORES: dict[str, Callable[[Row], float]] = {
    "minimum eigenvalue, width 64": lambda row: row["finite"],
    "minimum eigenvalue, infinite width": lambda row: row["infinite"],
    "lower bound, Schur": lambda row: row["schur"],
    "lower bound, Hermite": lambda row: row["hermite"],
    "upper bound, closest pair": lambda row: row["closest_pair"],
    "mean eigenvalue, width 64": lambda row: row["finite"] - row["finite_normalised"],
    "minimum over mean, width 64": lambda row: row["finite_normalised"],
    "condition number, width 64": lambda row: -row["finite_condition"],
    "condition number, infinite width": lambda row: -row["infinite_condition"],
    "sqrt(y' K^-1 y / n)": lambda row: -row["label_bound"],
    "null: non-linear layers": lambda row: row["nonlinear_layers"],
    "null: skips": lambda row: row["skips"],
    "null: parameters": lambda row: row["params"],
}

HEADER = """# EigenNAS: bounds on the minimum eigenvalue, and its ranking of networks

`python -m benchmarks.eigennas` measures these numbers again; the last table has the
commands. The protocol is ours: of the paper (Zhu et al. 2022) only the abstract is
known to us, and its tables cannot be compared with these.
"""
ABOUT_BOUNDS = f"""
## Bounds on the minimum eigenvalue

Networks of the dense space with one activation in all layers, for one output and
{IMAGES} training digits of norm 1. The infinite width is the exact recursion. The
bounds are shares of it: the lower one through Hermite coefficients, which knows the
images and numbers of the activations only; the lower one by Schur's theorem from the
covariances of all layers; the upper one of the closest pair of images. The widths have
the mean over seeds of the minimum eigenvalue as a share of it, and in brackets the root
mean squared relative error of the entries of the kernel.
"""
ABOUT_RANKING = f"""
## Ranking of trained networks

Networks of the dense space with uniform random ops, as many of 4 as of 5 and 6 hidden
layers of 64 units. Scores are from {IMAGES} training images at initialisation; those of
width 64 are means of logarithms over the seeds, for the very weights that are trained.
Batches have {BATCH_SIZE} images; of several learning rates, a network takes that of
better validation accuracy. Columns:

- *tau-b* and *Spearman* with test accuracy, mean over seeds, and 95 % intervals of a
  bootstrap over networks; *equal size*: tau-b among networks of one number of layers,
  mean of the three.
- *regret*: test accuracy, in percentage points, that the best network has more than the
  one of highest score; *top {TOP}*: more than the one of best validation accuracy among
  the {TOP} of highest score.
"""
ABOUT_PART = """
### {part}

{networks} networks from {seeds} seeds each, {updates} updates of {descent} at a rate of
{rates}, on {images} training images. Test accuracy: best {best:.2%}, median
{median:.2%}, worst {worst:.2%}. The accuracies of two seeds rank the networks alike
with tau-b {ceiling}. A network drawn at random has a regret of {regret:.2f}, the best
in validation of {top} at random one of {top_regret:.2f}.
"""
ABOUT_GENERALISATION = f"""
## The generalisation bound

sqrt(y' K^-1 y / n) bounds the expected 0-1 error of SGD up to a constant, logarithms
and a term of confidence, and 1 / sqrt(minimum eigenvalue) bounds it from above. K is
the kernel of infinite width of n = {LABELLED} training images, y are labels of -1 and 1
of one class against the rest; means over ten classes. A bound of 1 or more says
nothing. The networks are those above that train on these images alone; their test
errors are of ten classes, where the bounds are of two. *tau-b*: with the test error.
"""


def page(results: result_files.Results) -> str:
    """The page in Markdown."""
    lines = list[str](HEADER.splitlines())
    if BOUNDS in results:
        lines += [*ABOUT_BOUNDS.splitlines(), "", *_bounds(rows_of(results[BOUNDS]))]
    trained = trained_parts(results)
    if trained:
        lines += ABOUT_RANKING.splitlines()
    for part, rows in trained.items():
        lines += _ranking(part, rows, results[part]["settings"]["updates"])
    few = {part: rows for part, rows in trained.items() if PARTS[part].images}
    if few:
        lines += [*ABOUT_GENERALISATION.splitlines(), "", *_generalisation(few)]
    lines += ["", "## Where the numbers come from", "", *markdown.sources(results)]
    return "".join(f"{line}\n" for line in lines)


def rows_of(result: dict[str, Any]) -> list[Row]:
    """The rows of a part."""
    return result_files.as_rows(result["rows"])


def trained_parts(results: result_files.Results) -> dict[str, list[Row]]:
    """Of each part whose networks were trained, the rows with their scores."""
    found = {}
    for part, about in PARTS.items():
        if about.descent and {part, about.scores} <= results.keys():
            both = rows_of(results[about.scores]), rows_of(results[part])
            found[part] = [{**s, **row} for s, row in zip(*both, strict=False)]
    return found


def test_accuracies(rows: list[Row]) -> np.ndarray:
    """float64[S, N]."""
    return np.array([row["test"] for row in rows]).T


def column(rows: list[Row], key: str) -> np.ndarray:
    """float64[N] of a column."""
    return np.array([row[key] for row in rows], np.float64)


def _bounds(rows: list[Row]) -> Iterator[str]:
    names = ("activation", "layers", "skips", "infinite width")
    bounds = ("Hermite", "Schur", "closest pair")
    yield from markdown.head((*names, *bounds, *(f"width {w}" for w in WIDTHS)))
    for row in rows:
        whole = row["infinite"]
        shares = [row[key] / whole for key in ("hermite", "schur", "closest_pair")]
        finite = [
            f"{np.mean(row[f'finite_{w}']) / whole:.2f} ({row[f'error_{w}']:.3f})"
            for w in WIDTHS
        ]
        shape = row["activation"], row["hidden_layers"], row["skips"]
        cells = (f"{share:.3g}" for share in shares)
        yield markdown.row((*shape, f"{whole:.3g}", *cells, *finite))


def _ranking(part: str, rows: list[Row], updates: int) -> Iterator[str]:
    test, validation = test_accuracies(rows), column(rows, "validation")
    mean, seeds = test.mean(0), range(len(test))
    pairs = [(test[i], test[j]) for i in seeds for j in seeds if i < j]
    ceiling = np.mean([kendall_tau_b(*pair) for pair in pairs])
    rng = np.random.default_rng(0)
    count = min(TOP, len(rows))
    at_random = [
        top_regret(rng.random(len(rows)), validation, mean, count)
        for _ in range(RANDOM_CHOICES)
    ]
    descent = DESCENTS[PARTS[part].descent]
    about = ABOUT_PART.format(
        part=part,
        networks=len(rows),
        seeds=len(test),
        images=PARTS[part].images or "all",
        descent=descent.name,
        rates=" or ".join(map(str, descent.rates)),
        updates=updates,
        best=mean.max(),
        median=np.median(mean),
        worst=mean.min(),
        ceiling=f"{ceiling:.2f}",
        regret=100 * (mean.max() - mean.mean()),
        top=count,
        top_regret=100 * np.mean(at_random),
    )
    yield from (*about.splitlines(), "")
    names = ("score", "tau-b", "Spearman", "equal size", "regret", f"top {TOP}")
    yield from markdown.head(names)
    for name in SCORES:
        own = np.array([SCORES[name](row) for row in rows], np.float64)
        found = correlations(own[None], mean, np.arange(len(rows)))
        chosen = choice(own, mean, np.arange(len(rows)))
        assert chosen is not None
        regrets = chosen.regret, top_regret(own, validation, mean, count)
        cells = [_interval(found, key) for key in ("tau_b", "spearman")]
        equal = _equal_size(own, mean, np.array([row["params"] for row in rows]))
        yield markdown.row((name, *cells, equal, *(f"{100 * r:.2f}" for r in regrets)))


def top_regret(
    own: np.ndarray, validation: np.ndarray, test: np.ndarray, count: int
) -> float:
    """Test accuracy that is lost by the best in validation of some of highest score."""
    best = np.argsort(-own, kind="stable")[:count]
    return float(test.max() - test[best[validation[best].argmax()]])


def _interval(found: dict[str, Any], key: str) -> str:
    if found[key] is None:
        return "not defined"
    if found[f"{key}_interval"] is None:
        return f"{found[key]:.2f}"
    low, high = found[f"{key}_interval"]
    return f"{found[key]:.2f} [{low:.2f}, {high:.2f}]"


def _equal_size(own: np.ndarray, test: np.ndarray, params: np.ndarray) -> str:
    groups = [params == size for size in np.unique(params)]
    taus = [kendall_tau_b(own[group], test[group]) for group in groups]
    return f"{np.mean(taus):.2f}" if np.isfinite(taus).all() else "not defined"


def _generalisation(trained: dict[str, list[Row]]) -> Iterator[str]:
    names = ("data", "quantity", "smallest", "median", "largest", "below 1", "tau-b")
    yield from markdown.head(names)
    for part, rows in trained.items():
        error = 1 - test_accuracies(rows).mean(0)
        columns = {
            "test error": error,
            "sqrt(y' K^-1 y / n)": column(rows, "label_bound"),
            "1 / sqrt(minimum eigenvalue)": column(rows, "eigenvalue_bound"),
        }
        for title, values in columns.items():
            spread = (f"{v:.3g}" for v in np.quantile(values, (0, 0.5, 1)))
            below = f"{np.mean(values < 1):.0%}"
            tau = "" if values is error else f"{kendall_tau_b(values, error):.2f}"
            yield markdown.row((part, title, *spread, below, tau))
