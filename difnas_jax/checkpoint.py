"""Checkpoints: the only place that knows Orbax.

A checkpoint has four parts: `variables` (all collections of the network, frozen kernels
included), `optimizer`, `losses` (those of every path so far), and a `record` with
checksums of all files. A later stage reads the network without rebuilding its
optimizer. Saving is asynchronous and atomic. The step of a training is the name of its
checkpoint, and the place in the data follows from it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp

from difnas_jax import failures, files
from difnas_jax.command import explained
from difnas_jax.errors import InputError, Stopped, TrainingError, one_line
from difnas_jax.processes import is_main_process
from difnas_jax.writer import say

RECORD = "record"
PARTS = ("variables", "optimizer", "losses")
CHECKSUMS = "checksums.json"


class _Writing:
    """A part that is being written, in the background.

    What fails there comes to light at the next save. On several processes that is too
    late: the others wait for this one at a barrier, and it for them at the next one.
    """

    def __init__(self, future: Any, folder: Path) -> None:
        """Watch a future of Orbax that writes below a folder."""
        self._future, self._folder = future, folder

    def result(self, timeout: float | None = None) -> Any:
        """Wait for its end."""
        try:
            with files.full_disk_named(self._folder):
                return self._future.result(timeout)
        except Exception as error:
            failures.tell(*explained(error))
            raise

    def cancel(self) -> Any:
        """Give up."""
        return self._future.cancel()


class _Tells:
    """A handler of Orbax whose failures end all processes."""

    async def async_save(self, directory: Any, **kwargs: Any) -> list[_Writing]:
        """Start to write to `<step>/<part>` of a folder of checkpoints."""
        started = await super().async_save(directory, **kwargs)  # type: ignore[misc]
        folder = Path(directory).parents[1]
        return [_Writing(future, folder) for future in started or ()]


class _Arrays(_Tells, ocp.StandardCheckpointHandler):
    """A tree of arrays."""


class _Record(_Tells, ocp.JsonCheckpointHandler):
    """JSON values, with checksums of all files beside them.

    Orbax finalizes parts in the order of their handlers, this one last, and only then
    gives the checkpoint its name. Damage is looked for before a part is read: a read
    that fails halfway leaves others behind, whose tracebacks nobody can catch.
    """

    def finalize(self, directory: Any) -> None:
        """Called when the files of all processes are there."""
        super().finalize(directory)
        if is_main_process():
            checksums = {p: _checksums(Path(directory).parent / p) for p in PARTS}
            checksums[RECORD] = _checksums(Path(directory))
            files.write_json(Path(directory) / CHECKSUMS, checksums)


@ocp.args.register_with_handler(_Arrays, for_save=True)
class _SaveArrays(ocp.args.StandardSave):
    """What Orbax hands to `_Arrays`."""


@ocp.args.register_with_handler(_Arrays, for_restore=True)
class _RestoreArrays(ocp.args.StandardRestore):
    """Likewise."""


@ocp.args.register_with_handler(_Record, for_save=True)
class _SaveRecord(ocp.args.JsonSave):
    """What Orbax hands to `_Record`."""


@ocp.args.register_with_handler(_Record, for_restore=True)
class _RestoreRecord(ocp.args.JsonRestore):
    """Likewise."""


def _checksums(part: Path) -> dict[str, str]:
    """{name: checksum} of all files of a part."""
    paths = sorted(filter(Path.is_file, part.rglob("*")))
    return {str(path.relative_to(part)): files.checksum(path) for path in paths}


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
                **{part: _Arrays() for part in PARTS},
                RECORD: _Record(),
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
        saved: dict[str, Any] = {
            part: _SaveArrays(tree) for part, tree in parts.items()
        }
        saved[RECORD] = _SaveRecord({"window": list(window)})
        with files.full_disk_named(self.folder):
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
                window, parts = self._read(step, targets)
            except InputError as error:
                say(f"{error}; skipped")
                continue
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
        return self._read(step, targets)[1]

    def _read(self, step: int, targets: dict[str, Any]) -> tuple[list, dict[str, Any]]:
        shapes: dict[str, Any] = {
            part: _RestoreArrays(jax.tree.map(ocp.utils.to_shape_dtype_struct, target))
            for part, target in targets.items()
        }
        shapes[RECORD] = _RestoreRecord()
        folder = self.folder / str(step)
        try:
            checksums = files.read_json(folder / RECORD / CHECKSUMS, (*PARTS, RECORD))
            for part in (*targets, RECORD):
                there = _checksums(folder / part)
                if any(there.get(n) != value for n, value in checksums[part].items()):
                    raise ValueError(f"{part} are not what was saved")
            restored = self._manager.restore(step, args=ocp.args.Composite(**shapes))
            window = restored[RECORD]["window"]
            return window, {part: restored[part] for part in targets}
        except Exception as error:  # whatever Orbax meets, too
            missing = isinstance(error, FileNotFoundError | NotADirectoryError)
            if isinstance(error, OSError) and not missing:
                raise  # it may pass: no reason to take a checkpoint for damaged
            raise InputError(
                f"{folder}: expected a checkpoint of this network, but it cannot be "
                f"read ({one_line(error)[:200]})"
            ) from error

    def close(self) -> None:
        """Wait until everything is on disk.

        Raises:
          OSError: the disk is full.
        """
        with files.full_disk_named(self.folder):
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
