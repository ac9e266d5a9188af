"""Output of a run, by process 0 only: metrics to a file, progress to the terminal."""

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


def say(text: str) -> None:
    """Print a line on process 0, above the bars of a terminal."""
    if is_main_process():
        with tqdm.external_write_mode():
            show(text, sys.stdout)


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


class Progress:
    """A bar in a terminal, plain lines elsewhere, with rate and remaining time."""

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        """Start.

        Args:
          title: of the work.
          total: number of units of work.
          done: units that an earlier process did.
        """
        self._title, self._total, self._first = title, total, done
        self._start: float | None = None
        hidden = not (sys.stderr.isatty() and is_main_process())
        self._bar = tqdm(
            total=total, initial=done, desc=title, disable=hidden, dynamic_ncols=True
        )

    def step(self, units: int = 1) -> None:
        """Count; the clock starts after the first call, which compiles."""
        if self._start is None:
            self._start, self._first = time.monotonic(), self._first + units
        self._bar.update(units)

    def report(self, done: int, **values: float | None) -> None:
        """Show values after `done` units; None and the step itself are left out."""
        values.pop("step", None)
        texts = {n: f"{value:.4g}" for n, value in values.items() if value is not None}
        if not self._bar.disable:
            self._bar.set_postfix(texts)
            return
        seconds = time.monotonic() - (self._start or 0.0)
        rate = (done - self._first) / max(seconds, 1e-9)
        left = tqdm.format_interval((self._total - done) / rate) if rate else "?"
        shown = "  ".join(f"{name} {text}" for name, text in texts.items())
        say(f"{self._title} {done}/{self._total}  {rate:.3g}/s  eta {left}  {shown}")

    def close(self) -> None:
        """Close the bar and leave it on the screen."""
        self._bar.close()
