"""The files of `isometry`: kept numbers, figure, page, and tables as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import result_files
from benchmarks.isometry.figure import isometry_figure
from benchmarks.isometry.tables import SINGULAR_VALUES, Results, Row, supernets, tables
from difnas_jax.report import figures
from difnas_jax.runtime import files

NAME, PAGE = "isometry", "ISOMETRY.md"


def load(folder: Path) -> Results:
    """All results so far: part -> provenance, `settings` and `rows`.

    Raises:
      InputError: a damaged file.
    """
    return _with_rows(result_files.load(folder / f"{NAME}.json"))


def write(folder: Path, results: Results) -> None:
    """Write all files, those that are made of the numbers as they are kept."""
    kept = dict(results)
    if SINGULAR_VALUES in kept:
        table = result_files.as_columns(kept[SINGULAR_VALUES]["rows"])
        kept[SINGULAR_VALUES] = {**kept[SINGULAR_VALUES], "rows": table}
    results = _with_rows(result_files.write(folder / f"{NAME}.json", kept))
    with files.atomic_write(folder / PAGE) as file:
        file.writelines(f"{line}\n" for line in tables(results))
    with files.atomic_write(folder / f"{NAME}.png", "wb") as file:
        file.write(figures.png(isometry_figure(results)))
    for name, rows in (
        (SINGULAR_VALUES, results.get(SINGULAR_VALUES, {}).get("rows", ())),
        ("depth", _depth_rows(results)),
        ("gamma_gradients", _gamma_rows(results)),
    ):
        _write_csv(folder / f"{name}.csv", list(rows))


def _with_rows(kept: Results) -> Results:
    """Results as their file holds them, with the rows of its table."""
    if SINGULAR_VALUES in kept:
        spectra = kept[SINGULAR_VALUES]
        spectra["rows"] = result_files.as_rows(spectra["rows"])
    return kept


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    if not rows:
        return
    with files.atomic_write(path) as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _supernet_rows(results: Results) -> Iterator[tuple[Row, Row]]:
    for part, result in supernets(results).items():
        for row in result["rows"]:
            keys = "layer_indicator", "kernels", "seed"
            yield {"space": part, **{key: row[key] for key in keys}}, row


def _depth_rows(results: Results) -> Iterator[Row]:
    for start, row in _supernet_rows(results):
        for layer in range(len(row["depth"]["variance"])):
            values = {name: column[layer] for name, column in row["depth"].items()}
            yield {**start, "layer": layer, **values}


def _gamma_rows(results: Results) -> Iterator[Row]:
    for start, row in _supernet_rows(results):
        found = row["fairness"]
        for layer, line in enumerate(found["rms"]):
            for op, rms in enumerate(line):
                if rms is not None:
                    position = {"layer": layer, "op": row["ops"][op]}
                    noise = found["noise"][layer][op]
                    yield {**start, **position, "rms": rms, "relative_error": noise}
