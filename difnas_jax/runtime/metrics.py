"""Output of a run, by process 0 only: lines to the terminal, metrics to a file."""

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from difnas_jax.runtime import files
from difnas_jax.runtime.output import show
from difnas_jax.runtime.processes import is_main_process

_shown_at = time.monotonic()


def say(text: str) -> None:
    """Print a line on process 0, above the bars of a terminal."""
    shown()
    if is_main_process():
        with tqdm.external_write_mode():
            show(text, sys.stdout)


def shown() -> None:
    """Note that something is shown now."""
    global _shown_at
    _shown_at = time.monotonic()


def seconds_of_silence() -> float:
    """For how long nothing was shown."""
    return time.monotonic() - _shown_at


class MetricsWriter:
    """Appends rows with known fields to a file of JSON lines."""

    def __init__(self, path: Path, fields: Iterable[str], resume_step: int) -> None:
        """Open the file.

        Args:
          path: the file.
          fields: the keys that rows may have.
          resume_step: rows of later steps, left by a run that was killed, are dropped.
        """
        self._fields = frozenset(fields)
        self._path = path
        rows = files.read_json_lines(path, ("step",)) if path.exists() else []
        self._kept = [row for row in rows if row["step"] <= resume_step]
        if is_main_process():
            files.write_json_lines(path, self._kept)

    def best(self, name: str) -> float | None:
        """The largest value in the rows of an earlier run, or None."""
        return max((row[name] for row in self._kept if name in row), default=None)

    def write(self, row: dict[str, Any]) -> None:
        """Append a row.

        Raises:
          KeyError: a key that is not among the fields.
        """
        if unknown := row.keys() - self._fields:
            raise KeyError(f"metrics {sorted(unknown)} are not among the fields")
        if is_main_process():
            with files.with_filename(self._path), open(self._path, "a") as file:
                file.write(json.dumps(row) + "\n")
