"""Checkpoints: with `checkpoint_parts.py` the only place that knows how Orbax saves.

A checkpoint has four parts: `variables` (all collections of the network, frozen kernels
included), `optimizer`, `losses` (those of every path so far), and a `record` with
checksums of all files. A later stage reads the network without rebuilding its
optimizer. Saving is asynchronous and atomic. The step of a training is the name of its
checkpoint, and the place in the data follows from it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp

from difnas_jax.errors import InputError, Stopped, TrainingError, one_line
from difnas_jax.runtime import files
from difnas_jax.runtime.checkpoint_parts import (
    CHECKSUMS,
    PARTS,
    RECORD,
    Arrays,
    Record,
    RestoreArrays,
    RestoreRecord,
    SaveArrays,
    SaveRecord,
    checksums_of,
)
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.processes import gather


def _is_news(record: logging.LogRecord) -> bool:
    """Orbax logs what it raises as well, with hundreds of lines for a full disk."""
    return record.levelno < logging.ERROR or "orbax" not in record.pathname


class Checkpoints:
    """The checkpoints of one training in one folder."""

    def __init__(self, folder: Path, keep: int = 1) -> None:
        """Open a folder, which is made if needed, keeping the last `keep` saves."""
        self.folder = folder
        logging.getLogger("absl").addFilter(_is_news)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            create=True,
            cleanup_tmp_directories=True,  # what a killed run was writing
            # What fails in `save` itself comes to light there.
            async_options=ocp.options.AsyncOptions(
                create_directories_asynchronously=False
            ),
        )
        self._manager = ocp.CheckpointManager(
            folder.absolute(),
            options=options,
            item_handlers={
                **{part: Arrays() for part in PARTS},
                RECORD: Record(),
            },
        )

    def latest(self) -> int | None:
        """The step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(
        self, step: int, window: Sequence[dict[str, float]] = (), **parts: Any
    ) -> None:
        """Start saving; does nothing if this step is saved already.

        Args:
          step: updates done.
          window: metrics of updates that are in no row yet.
          **parts: the trees of all `PARTS`.

        Raises:
          OSError: the disk is full, found now or by the save before.
        """
        if step == self.latest():
            return
        saved: dict[str, Any] = {part: SaveArrays(tree) for part, tree in parts.items()}
        saved[RECORD] = SaveRecord({"window": list(window)})
        with files.disk_full_as_oserror(self.folder):
            self._manager.save(step, args=ocp.args.Composite(**saved))

    def newest(
        self, **targets: Any
    ) -> tuple[int, list[dict[str, float]], dict[str, Any]] | None:
        """Read the newest checkpoint that can be read.

        Newer ones that are damaged are named, and removed once an older one was read.

        Args:
          **targets: see `restore`.

        Returns:
          Its step, its window and its parts; None if there is no checkpoint.

        Raises:
          InputError: there are checkpoints, and none can be read.
          OSError: of the disk, which may pass; nothing is removed.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for place, step in enumerate(steps):
            try:
                problem = ""
                self._compare(step, targets)
            except InputError as error:
                problem = str(error)
            # A file system may show it whole to some processes, and to others not.
            if problem := next(filter(None, gather(problem)), ""):
                say(f"{problem}; skipped")
                continue
            window, parts = self._read(step, targets)
            for damaged in steps[:place]:
                self._manager.delete(damaged)
            return step, window, parts
        if steps:
            raise InputError(
                f"{self.folder}: expected a checkpoint that can be read, none of "
                f"{', '.join(map(str, steps))} can; delete this folder to train from "
                "the start"
            )
        return None

    def restore(self, step: int, **targets: Any) -> dict[str, Any]:
        """Read parts of a checkpoint.

        Args:
          step: of the checkpoint.
          **targets: for each part, arrays or shapes of the tree that is expected.

        Returns:
          The parts by name.

        Raises:
          InputError: one that is damaged or does not fit.
        """
        self._compare(step, targets)
        return self._read(step, targets)[1]

    def _compare(self, step: int, parts: Iterable[str]) -> None:
        """Compare the files of a checkpoint with its checksums."""
        folder = self.folder / str(step)
        try:
            checksums = files.read_json(folder / RECORD / CHECKSUMS, (*PARTS, RECORD))
            for part in (*parts, RECORD):
                there = checksums_of(folder / part)
                if any(there.get(n) != value for n, value in checksums[part].items()):
                    raise ValueError(f"{part} are not what was saved")
        except (OSError, ValueError, KeyError, AttributeError) as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            if isinstance(error, OSError) and not missing:
                raise  # it may pass: no reason to take a checkpoint for damaged
            raise self._unreadable(step, error) from error

    def _unreadable(self, step: int, error: Exception) -> InputError:
        return InputError(
            f"{self.folder / str(step)}: expected a checkpoint of this network, but it "
            f"cannot be read ({one_line(error)[:200]})"
        )

    def _read(self, step: int, targets: dict[str, Any]) -> tuple[list, dict[str, Any]]:
        shapes: dict[str, Any] = {
            part: RestoreArrays(jax.tree.map(ocp.utils.to_shape_dtype_struct, target))
            for part, target in targets.items()
        }
        shapes[RECORD] = RestoreRecord()
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(**shapes))
            window = restored[RECORD]["window"]
            return window, {part: restored[part] for part in targets}
        except Exception as error:  # whatever Orbax meets, too
            # The files are whole: it is another network, or another process has died.
            if isinstance(error, OSError) or jax.process_count() > 1:
                raise
            raise self._unreadable(step, error) from error

    def close(self) -> None:
        """Wait until everything is on disk.

        Raises:
          OSError: the disk is full.
        """
        with files.disk_full_as_oserror(self.folder):
            self._manager.close()

    def __enter__(self) -> Checkpoints:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, also when all processes stop or their training breaks down.

        A failure of one of several waits for nothing: not all of the others may come.
        """
        together = error is None or isinstance(error, Stopped | TrainingError)
        if together or jax.process_count() == 1:
            self.close()
