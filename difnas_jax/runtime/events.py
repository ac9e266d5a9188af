"""Files of events for TensorBoard, where tensorboardX is installed."""

import functools
import struct
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np

from difnas_jax.errors import one_line
from difnas_jax.runtime import files
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.processes import is_main_process

BINS = 30  # of a histogram
SIZE_OF_PNG = slice(16, 24)  # the bytes that hold width and height
NOTHING: Mapping[str, Any] = {}
Modules = tuple[Any, ...]


@functools.cache
def tensorboardx() -> Modules:
    """Those of tensorboardX that write; none where it is not installed or broken."""
    try:
        import_module("tensorboardX")
        names = ("proto.event_pb2", "summary", "record_writer")
        return tuple(import_module(f"tensorboardX.{name}") for name in names)
    except ModuleNotFoundError as error:
        if error.name != "tensorboardX":
            _say_broken(error)
    except Exception as error:  # such as a protobuf of another version
        _say_broken(error)
    return ()


def _say_broken(error: Exception) -> None:
    problem = f"{type(error).__name__}: {one_line(error)}"
    say(f"no events for TensorBoard, as tensorboardX cannot be imported ({problem})")


class EventFile:
    """A file of events, one for each session of a run.

    The events of a step are on disk before `write` returns, by no thread of
    tensorboardX: what cannot be written is an error here, as it is of any other file.
    """

    @classmethod
    def opened(cls, folder: Path, resume_step: int) -> Self | None:
        """A new file, by process 0 where tensorboardX is installed; elsewhere None.

        Args:
          folder: of the file; earlier sessions may have left theirs.
          resume_step: a reader drops what these wrote of later steps.
        """
        modules = tensorboardx() if is_main_process() else ()
        return cls(modules, folder, resume_step) if modules else None

    def __init__(self, modules: Modules, folder: Path, resume_step: int) -> None:
        """Begin the file; see `opened`."""
        events, self._summary, self._records = modules
        self._event = events.Event
        # Readers take the files in the order of their names.
        name = f"events.out.tfevents.{int(time.time())}.{resume_step:09d}"
        self._path = folder / name
        start = {"step": resume_step + 1, "session_log": {"status": "START"}}
        # Written with the first step: a session that does nothing leaves no file.
        self._start = [{"file_version": "brain.Event:2"}, start]

    def write(
        self,
        step: int,
        scalars: Mapping[str, float | None],
        histograms: Mapping[str, np.ndarray] = NOTHING,
        pictures: Mapping[str, bytes] = NOTHING,
    ) -> None:
        """Append what belongs to a step.

        Args:
          step: of the training, or another count.
          scalars: by name; the part before a slash is a group, and None is left out.
          histograms: finite float64[N], by name.
          pictures: PNG files, by name.
        """
        values = [
            *(
                {"tag": tag, "simple_value": value}
                for tag, value in scalars.items()
                if value is not None
            ),
            *(
                {"tag": tag, "histo": self._summary.make_histogram(numbers, BINS)}
                for tag, numbers in histograms.items()
            ),
            *({"tag": tag, "image": _image(png)} for tag, png in pictures.items()),
        ]
        event = {"step": step, "summary": {"value": values}}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        mode = "wb" if self._start else "ab"
        with files.with_filename(self._path), open(self._path, mode) as file:
            file.write(b"".join(map(self._record, [*self._start, event])))
        self._start = []

    def _record(self, event: dict[str, Any]) -> bytes:
        """A record of the format TFRecord: length, checksum, data, checksum."""
        data = self._event(wall_time=time.time(), **event).SerializeToString()
        length = struct.pack("<Q", len(data))
        checksums = (self._records.masked_crc32c(part) for part in (length, data))
        first, second = (struct.pack("<I", value) for value in checksums)
        return length + first + data + second


def _image(png: bytes) -> dict[str, Any]:
    width, height = struct.unpack(">II", png[SIZE_OF_PNG])
    return {"width": width, "height": height, "encoded_image_string": png}
