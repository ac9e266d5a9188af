"""Checkpoints. Only this module and `checkpoint_parts.py` use Orbax.

A checkpoint has the parts `variables` (all collections of the network, frozen kernels
included), `optimizer`, one for what the method carries along from update to update, and
a `record` with checksums of all files. A later stage reads the network without
rebuilding its optimizer. Saving is asynchronous and atomic. A checkpoint is named by
the step of the training, from which its position in the data follows.
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
    checksums_of,
    handlers,
)
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.processes import gather_texts


def _is_no_error_of_orbax(record: logging.LogRecord) -> bool:
    """Orbax logs what it also raises, with hundreds of lines for a full disk."""
    return record.levelno < logging.ERROR or "orbax" not in record.pathname


class Checkpoints:
    """The checkpoints of one training in one folder."""

    def __init__(self, folder: Path, keep: int | None = None) -> None:
        """Open a folder, made if needed.

        Args:
          folder: of the checkpoints, each a folder named by its step.
          keep: how many of the newest to keep when one is saved; None keeps all.
        """
        self.folder = folder
        logging.getLogger("absl").addFilter(_is_no_error_of_orbax)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            create=True,
            cleanup_tmp_directories=True,  # left by a run that was killed
            # So that `save` raises an error in making them.
            async_options=ocp.options.AsyncOptions(
                create_directories_asynchronously=False
            ),
        )
        self._manager = ocp.CheckpointManager(
            folder.absolute(), options=options, handler_registry=handlers()
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
          window: metrics of the updates since the last row of metrics.
          **parts: the trees of all `PARTS`.

        Raises:
          OSError: the disk is full, in this save or in the one before.
        """
        if step == self.latest():
            return
        saved: dict[str, Any] = {
            part: ocp.args.StandardSave(tree) for part, tree in parts.items()
        }
        saved[RECORD] = ocp.args.JsonSave({"window": list(window)})
        with files.disk_full_as_oserror(self.folder):
            self._manager.save(step, args=ocp.args.Composite(**saved))

    def newest(
        self, **targets: Any
    ) -> tuple[int, list[dict[str, float]], dict[str, Any]] | None:
        """Read the newest checkpoint that can be read.

        Newer checkpoints that are damaged are named in the output, and deleted once an
        older one has been read.

        Args:
          **targets: see `restore`.

        Returns:
          Its step, its window and its parts; None if there is no checkpoint.

        Raises:
          InputError: there are checkpoints, but all of them are damaged.
          OSError: an error of the disk, which may be temporary; nothing is deleted.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for index, step in enumerate(steps):
            try:
                problem = ""
                self._compare(step, targets)
            except InputError as error:
                problem = str(error)
            # A network file system may show it complete to some processes only.
            if problem := next(filter(None, gather_texts(problem)), ""):
                say(f"{problem}; skipped")
                continue
            window, parts = self._read(step, targets)
            for damaged in steps[:index]:
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
          **targets: for each part, the expected tree of arrays or shapes.

        Returns:
          The parts by name.

        Raises:
          InputError: the checkpoint is damaged or of another network.
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
                raise  # it may be temporary: the checkpoint is not damaged by it
            raise self._damaged(step, error) from error

    def _damaged(self, step: int, error: Exception) -> InputError:
        return InputError(
            f"{self.folder / str(step)}: expected a checkpoint of this network, but it "
            f"cannot be read ({one_line(error)[:200]})"
        )

    def _read(self, step: int, targets: dict[str, Any]) -> tuple[list, dict[str, Any]]:
        shapes: dict[str, Any] = {
            part: ocp.args.StandardRestore(
                jax.tree.map(ocp.utils.to_shape_dtype_struct, target)
            )
            for part, target in targets.items()
        }
        shapes[RECORD] = ocp.args.JsonRestore()
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(**shapes))
            window = restored[RECORD]["window"]
            return window, {part: restored[part] for part in targets}
        except Exception as error:  # Orbax documents none
            # The files are complete: it is another network, or a process has died.
            if isinstance(error, OSError) or jax.process_count() > 1:
                raise
            raise self._damaged(step, error) from error

    def close(self) -> None:
        """Wait until all checkpoints are on disk.

        Raises:
          OSError: the disk is full.
        """
        with files.disk_full_as_oserror(self.folder):
            self._manager.close()

    def __enter__(self) -> Checkpoints:
        """The checkpoints themselves."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, also when all processes stop or their training breaks down.

        After another failure, one of several processes does not wait for the others,
        which may never come.
        """
        together = error is None or isinstance(error, Stopped | TrainingError)
        if together or jax.process_count() == 1:
            self.close()
