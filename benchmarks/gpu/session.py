"""What the process of a part works with: its values on disk, and its turns."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from benchmarks.gpu.parts import PARTS, Part
from difnas_jax.runtime import files


class Session:
    """One part in its process.

    Attributes:
      part: what to measure.
      small: whether this is the small form.
      folder: of this part alone.
      compiled: folder of compiled programs.
    """

    def __init__(self, name: str, folder: Path, small: bool) -> None:
        """Begin a part.

        Args:
          name: key of `PARTS`.
          folder: of all parts.
          small: try it out.
        """
        part = PARTS[name]
        self.part: Part = part.small() if small else part
        self.small = small
        self.folder = folder / name
        self.folder.mkdir(exist_ok=True)
        self.compiled = folder / (part.compiled_by or name) / "compiled"
        self._turns = folder / "turns"
        self._values: dict[str, Any] = {}

    def record(self, **values: Any) -> None:
        """Keep values; what is kept stays if the process is killed."""
        self._values |= values
        self._write()

    def _write(self) -> None:
        path = values_file(self.folder.parent, self.folder.name)
        files.write_json(path, self._values)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record the seconds that something takes."""
        start = time.perf_counter()
        yield
        self._values[name] = time.perf_counter() - start
        self._write()

    def alone(self) -> None:
        """From now on no other part is on the device: to be timed.

        It lasts until the process ends, and with it its hold on the memory.
        """
        self._held = self._turn(fcntl.LOCK_EX)

    @contextlib.contextmanager
    def beside_others(self) -> Iterator[None]:
        """No other part is timed meanwhile: to initialize and compile on the device."""
        with self._turn(fcntl.LOCK_SH):
            yield

    def _turn(self, kind: int) -> IO[str]:
        left = signal.alarm(0)  # waiting does not count
        file = open(self._turns, "a")  # the lock is gone when it is closed
        fcntl.flock(file, kind)
        signal.alarm(left)
        return file


def values_file(folder: Path, name: str) -> Path:
    """Where a part records its values."""
    return folder / name / "values.json"


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)
