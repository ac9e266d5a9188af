"""Files of columns: CSV with a row of numbers for each architecture."""

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from difnas_jax.errors import InputError, require
from difnas_jax.runtime import files
from difnas_jax.runtime.processes import is_main_process

INDEX, ARCHITECTURE = "index", "architecture"
FORM = "CSV with the column index and columns of numbers, as for --csv"


class Columns(NamedTuple):
    """What a file holds.

    Attributes:
      index: int64[N], number of each architecture in its benchmark.
      values: float64[N] by column; NaN where a cell says so or is empty.
      measured: bool[N], False where a cell is empty.
    """

    index: np.ndarray
    values: dict[str, np.ndarray]
    measured: np.ndarray

    def of(self, name: str, index: np.ndarray) -> np.ndarray:
        """float64[M]: a column for int64[M] architectures that the file has."""
        order = np.argsort(self.index)
        return self.values[name][
            order[np.searchsorted(self.index, index, sorter=order)]
        ]

    @classmethod
    def read(cls, path: Path, names: Sequence[str] = ()) -> Self:
        """Read a file with the column `index`.

        Args:
          path: the file.
          names: of the columns; empty: all but `index` and `architecture`.

        Raises:
          InputError: the file is missing or malformed, or lacks a column.
        """
        with files.given_file(str(path), FORM):
            with open(path, newline="") as file:
                reader = csv.DictReader(file)
                rows, known = list(reader), list(reader.fieldnames or ())
            if INDEX not in known:
                raise ValueError(f"no column {INDEX}")
            names = names or [n for n in known if n not in (INDEX, ARCHITECTURE)]
            if not names:
                raise ValueError(f"no column but {', '.join(known)}")
            index = np.array([int(row[INDEX]) for row in rows], np.int64)
            if len(np.unique(index)) < len(index):
                raise ValueError("an index occurs twice")
        if missing := [name for name in names if name not in known]:
            raise InputError(
                f"{path}: has no column {missing[0]!r}; it has {', '.join(known)}"
            )
        with files.given_file(str(path), FORM):
            cells = {name: [row[name] for row in rows] for name in names}
            values = {n: np.array([float(c or "nan") for c in cells[n]]) for n in names}
        empty = [[not cell for cell in column] for column in cells.values()]
        return cls(index, values, ~np.any(empty, axis=0))


class ColumnsWriter:
    """Writes a file part by part; one that was interrupted is continued.

    The rows stand in a file `<name>.partial` until all are there. Every process may
    have a writer; process 0 alone writes.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        """Read the rows of an earlier writer.

        Args:
          path: the file.
          names: of the columns.

        Raises:
          InputError: the rows that are there have other columns.
        """
        self._path, self._names = path, tuple(names)
        self._partial = path.with_name(f"{path.name}.partial")
        head = ",".join((INDEX, ARCHITECTURE, *names))
        self._lines = [head]
        if self._partial.exists():
            self._lines = self._partial.read_text().splitlines()
        expected = f"the columns {head} of an interrupted run, or another --workdir"
        fits = self._lines[:1] == [head]
        require(fits, str(self._partial), expected, "".join(self._lines[:1]))

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self._lines) - 1

    def append(
        self, index: np.ndarray, texts: Sequence[str], values: dict[str, np.ndarray]
    ) -> None:
        """Add rows.

        Args:
          index: int[N].
          texts: N architectures as the benchmark writes them, without commas.
          values: float64[N] by column.
        """
        columns = [values[name].tolist() for name in self._names]
        for number, text, *cells in zip(index.tolist(), texts, *columns, strict=True):
            # `repr` of a float is the shortest text that reads as the same number.
            self._lines.append(",".join([repr(number), text, *map(repr, cells)]))
        if is_main_process():
            with files.atomic_write(self._partial) as file:
                file.writelines(f"{line}\n" for line in self._lines)

    def finish(self) -> None:
        """Give the file its name."""
        if is_main_process():
            os.replace(self._partial, self._path)


def check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Refuse a folder whose columns were made with other settings.

    Args:
      path: of the file that keeps the settings there, if there is one.
      settings: by the name of the flag.

    Raises:
      InputError: naming the first setting that differs.
    """
    settings = json.loads(json.dumps(settings))
    before = files.read_json(path) if path.exists() else settings
    for name, value in settings.items():
        expected = f"{before.get(name)!r} as in {path}, or another --workdir"
        require(before.get(name) == value, f"--{name}", expected, repr(value))
