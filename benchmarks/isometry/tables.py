"""The page of `isometry`: its tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.isometry.fairness import MEASURES
from benchmarks.isometry.spectra import INITIALISATIONS
from benchmarks.isometry.stability import STABILITY
from benchmarks.isometry.supernets import KERNELS, of
from difnas_jax.isometry.singular_values import IMAGES

SINGULAR_VALUES = "singular_values"
Row = dict[str, Any]
Results = dict[str, dict[str, Any]]

HEADER = """# Isometry and fairness

`python -m benchmarks.isometry` measures these numbers again. The last table has the
commands, dates, machines and versions of those shown here.
"""
SPECTRA = """
## {title} of every op

From the exact Jacobian of one image, with the batch-norm statistics of a batch of
{images} images of independent Gaussian pixels held fixed ({settings}). Stride 2 doubles
the channels. Rows are ops, with the spaces that have them; the part `branch` is an op
without its skip connection or the half of the channels that it does not change. Columns
are initialisations. A cell has the measured value ± its standard error over seeds, and
in brackets the value that theory predicts and the deviation from it. "The same" stands
where an initialisation does not change the kernels of the op.
"""
DEPTH = """
## Signal and gradient through depth: {part}

Settings: {settings}; the layer indicator is {indicator}. Columns, each for two rules of
the initial kernels: variance of the outputs of the layer; norm of the gradient there
over that behind the last layer; growth of the squared norm of the gradient through the
layer, in brackets as theory predicts it (2.152 / q for a block, 1 / q for an identity
with batch norm, 1 more for a skip connection, where q is the measured variance of the
input). All are geometric means over paths and seeds.
"""
FAIR = """
## Fairness of the gamma gradients

Of each indicator batch norm, the RMS of its gradient over channels, strictly fair paths
and batches is compared. Columns:

- *within*: coefficient of variation over the ops of a layer, mean over layers; *blocks
  alone*: without the identity; *gradient behind even*: after dividing by the gradient
  behind the layer; *by chance*: what noise alone would give with so few draws.
- *across*: coefficient of variation over layers.
- *spread within*, *spread across*: largest over smallest op (median over layers), and
  largest over smallest layer.
- *first / last layer*, *factor per layer*: the mean of the first layer over that of the
  last one, and the factor from one layer to the next.
- *T18*: the seeds in which statement T18 of the theory holds, within less than across.

Values are means ± standard errors over seeds.
"""
STABLE = """
## Stability of training

Supernets of the digits and of a deeper chain of the same blocks, trained as DI-NAS
does: strictly fair paths, frozen kernels, batch norms alone by Adam at 0.03 and batch
64, identity with batch norm in parallel ({settings}); four seeds, three of the rows
that compare neither kernels nor depth. Columns: loss and accuracy over the last 20
updates, mean over seeds ± standard deviation over seeds; standard deviation of the loss
over seeds, root mean square over all updates; norm of the gradient at the start; of its
logarithm the standard deviation over seeds, and its change from one update to the next,
both root mean squares over all updates.
"""
COLUMNS = ("loss", "accuracy", "loss over seeds", "gradient norm at the start")
COLUMNS += ("log norm over seeds", "log norm from update to update")
SPREADS = ("loss_spread", "norm", "norm_sd", "norm_jumps")


def supernets(results: Results) -> dict[str, dict[str, Any]]:
    """The parts that are supernets of spaces."""
    others = (SINGULAR_VALUES, STABILITY)
    return {part: r for part, r in results.items() if part not in others}


def tables(results: Results) -> list[str]:
    """The page in Markdown, line by line."""
    lines = list[str](HEADER.splitlines())
    if SINGULAR_VALUES in results:
        lines.extend(_spectra_tables(results[SINGULAR_VALUES]))
    for part, result in supernets(results).items():
        lines.extend(_depth_table(part, result))
    if STABILITY in results:
        lines.extend(_stability_table(results[STABILITY]))
    if supernets(results):
        lines.extend([*FAIR.splitlines(), "", *_fair_table(supernets(results))])
        lines.extend(_layer_tables(supernets(results)))
    return [*lines, "", *_sources(results)]


def _settings(settings: Row) -> str:
    names = {name: value for name, value in settings.items() if name != "seeds"}
    return ", ".join(
        f"{name.replace('_', ' ')} {' '.join(v) if isinstance(v, list | tuple) else v}"
        for name, v in names.items()
    )


def _spectra_tables(result: Row) -> Iterator[str]:
    titles = {
        "mean": "Mean squared singular value",
        "spread": "Normalised variance of the squared singular values",
    }
    names = list(INITIALISATIONS)
    for key, title in titles.items():
        text = SPECTRA.format(
            title=title, settings=_settings(result["settings"]), images=IMAGES
        )
        yield from text.splitlines()
        yield ""
        yield from _head("op", "part", "spaces", *names)
        cells: dict[tuple[str, str, str], dict[str, str]] = {}
        for row in result["rows"]:
            branch = row["op"], row["part"], row["spaces"]
            cells.setdefault(branch, {})[row["initialisation"]] = _against_law(row, key)
        for branch, found in cells.items():
            yield _cells([*branch, *(found.get(name, "the same") for name in names)])


def _against_law(row: Row, key: str) -> str:
    law, deviation = row[f"{key}_law"], row[f"{key}_deviation"]
    measured = _number(row[key], row[f"{key}_error"])
    if deviation is None:
        return f"{measured} (law {law:.3g})"
    return f"{measured} ({law:.3f}, {deviation:+.1%})"


def _number(value: float, error: float | None) -> str:
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"


def _depth_table(part: str, result: Row) -> Iterator[str]:
    rows, settings = result["rows"], result["settings"]
    indicator = rows[0]["layer_indicator"]
    text = DEPTH.format(part=part, settings=_settings(settings), indicator=indicator)
    yield from text.splitlines()
    yield ""
    columns = ("variance", "gradient", "growth")
    yield from _head("layer", *(f"{c}, {k}" for c in columns for k in KERNELS))
    for layer in range(len(rows[0]["depth"]["variance"])):
        cells: list[Any] = [layer]
        for column in columns:
            for kernels in KERNELS:
                own = of(rows, indicator, kernels)
                value = _geometric(own, column, layer)
                law = _geometric(own, "growth_law", layer)
                text = "" if value is None else f"{value:.3g}"
                is_growth = column == "growth" and law is not None
                cells.append(f"{text} ({law:.3g})" if is_growth else text)
        yield _cells(cells)


def _geometric(rows: Sequence[Row], column: str, layer: int) -> float | None:
    values = [row["depth"][column][layer] for row in rows]
    return None if None in values else statistics.geometric_mean(values)


def _fair_table(parts: Results) -> Iterator[str]:
    titles = {
        "within": "within",
        "blocks": "blocks alone",
        "across": "across",
        "behind_even": "gradient behind even",
        "chance": "by chance",
        "spread_within": "spread within",
        "spread_across": "spread across",
        "ratio": "first / last layer",
        "slope": "factor per layer",
    }
    names = [titles[name] for name in MEASURES]
    yield from _head("space", "layer indicator", "kernels", *names, "T18")
    for part, result in parts.items():
        for indicator in result["settings"]["layer_indicators"]:
            for kernels in KERNELS:
                own = of(result["rows"], indicator, kernels)
                values = {n: [row["measures"][n] for row in own] for n in MEASURES}
                shown = [_mean_and_error(values[name]) for name in MEASURES]
                pairs = zip(values["within"], values["across"], strict=True)
                holds = sum(within < across for within, across in pairs)
                verdict = f"{holds} of {len(own)} seeds"
                yield _cells([part, indicator, kernels, *shown, verdict])


def _mean_and_error(values: Sequence[float]) -> str:
    mean = statistics.mean(values)
    if len(values) < 2:
        return f"{mean:.3g}"
    return f"{mean:.3g} ± {statistics.stdev(values) / len(values) ** 0.5:.2g}"


def _layer_tables(parts: Results) -> Iterator[str]:
    for part, result in parts.items():
        indicators = result["settings"]["layer_indicators"]
        pairs = [(i, k) for i in indicators for k in KERNELS]
        yield from ["", f"Within, layer by layer: {part}, mean over seeds", ""]
        yield from _head("layer", *(f"{i}, {k}" for i, k in pairs))
        for layer in range(len(result["rows"][0]["depth"]["variance"])):
            columns = [
                [row["fairness"]["within"][layer] for row in of(result["rows"], *pair)]
                for pair in pairs
            ]
            shown = ("" if None in c else f"{statistics.mean(c):.3f}" for c in columns)
            yield _cells([layer, *shown])


def _stability_table(result: Row) -> Iterator[str]:
    yield from STABLE.format(settings=_settings(result["settings"])).splitlines()
    yield ""
    yield from _head("layers", "kernels", "activation", *COLUMNS)
    for row in result["rows"]:
        ends = (f"{row[n]:.3f} ± {row[f'{n}_sd']:.3f}" for n in ("loss", "accuracy"))
        spreads = (f"{row[n]:.3f}" for n in SPREADS)
        name = row["activation"] or "ReLU6"
        yield _cells([row["layers"], row["kernels"], name, *ends, *spreads])


def _sources(results: Results) -> Iterator[str]:
    yield from _head("part", "command", "date", "seeds", "machine", "versions")
    for part, result in results.items():
        versions = " ".join(" ".join(pair) for pair in result["versions"].items())
        seeds = " ".join(map(str, result["seed"]))
        cells = (result["date"], seeds, result["machine"], versions)
        yield _cells([part, f"`{result['command']}`", *cells])


def _head(*names: str) -> list[str]:
    return [_cells(names), _cells(["---"] * len(names))]


def _cells(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"
