"""The files of `isometry`: raw numbers, picture, tables for people and programs."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.isometry_tables import Results, Row, supernets, tables
from benchmarks.pictures import isometry_picture
from difnas_jax.report import figures
from difnas_jax.runtime import files

NAME = "isometry"


def load(folder: Path) -> Results:
    """All results so far: part -> provenance, `settings` and `rows`.

    Raises:
      InputError: a damaged file.
    """
    path = folder / f"{NAME}.json"
    return files.read_json(path) if path.exists() else {}


def write(folder: Path, results: Results) -> None:
    """Write all files."""
    files.write_json(folder / f"{NAME}.json", results)
    with files.atomic_write(folder / f"{NAME}.md") as file:
        file.writelines(f"{line}\n" for line in tables(results))
    with files.atomic_write(folder / f"{NAME}.png", "wb") as file:
        file.write(figures.png(isometry_picture(results)))
    for name, rows in (
        ("singular_values", _spectra_rows(results)),
        ("depth", _depth_rows(results)),
        ("gamma_gradients", _gamma_rows(results)),
    ):
        _write_csv(folder / f"{name}.csv", list(rows))


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    if not rows:
        return
    with files.atomic_write(path) as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _spectra_rows(results: Results) -> Iterator[Row]:
    for row in results.get("singular_values", {}).get("rows", []):
        means = {key: statistics.mean(row[key]) for key in ("mean", "spread")}
        yield {**row, **means, "seeds": len(row["mean"])}


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
                    place = {"layer": layer, "op": row["ops"][op]}
                    noise = found["noise"][layer][op]
                    yield {**start, **place, "rms": rms, "relative_error": noise}
