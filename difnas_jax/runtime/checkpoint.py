"""Checkpoints. Only this module uses Orbax to read and write.

A checkpoint has the parts `variables` (all collections of the network, frozen kernels
included), `optimizer`, `memory` (what the method carries along from update to update,
where it does) and a `record` with checksums of all files. A later stage reads the
network without its optimizer. Saving is asynchronous and atomic. A checkpoint is named
by the step of the training, from which its position in the data follows.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import jax
import orbax.checkpoint as ocp

from difnas_jax.errors import InputError, Stopped, TrainingError, one_line
from difnas_jax.runtime import failures, files, processes, shutdown
from difnas_jax.runtime.disk_errors import library_errors
from difnas_jax.runtime.leftovers import leave_out_leftovers
from difnas_jax.runtime.metrics import say

RECORD, CHECKSUMS = "record", "checksums.json"
PARTS = ("variables", "optimizer", "memory")
Window = list[dict[str, float]]


@contextlib.contextmanager
def _abort_all_on_failure(directory: Any) -> Iterator[None]:
    """End all processes at once if writing `<step>/<part>` of a folder fails.

    Orbax raises what fails in the background at the next save only. On several
    processes that is too late: the others wait for this one at a barrier, and it waits
    for them at the next barrier.
    """
    try:
        with library_errors(Path(directory).parents[1]):
            yield
    except Exception as error:
        failures.abort_all(*failures.describe_error(error))
        raise


class _Watched:
    """Mixin for a handler of Orbax: a failure in its background work ends all."""

    async def async_save(self, directory: Any, **kwargs: Any) -> list[Any]:
        """Start to write; returns the futures that end it."""
        started = await super().async_save(directory, **kwargs)  # type: ignore[misc]
        watched = _abort_all_on_failure(directory)  # as a decorator
        return [
            SimpleNamespace(result=watched(future.result), cancel=future.cancel)
            for future in started or ()
        ]

    def finalize(self, directory: Any) -> None:
        """Complete the part when the files of all processes are written."""
        with _abort_all_on_failure(directory):
            super().finalize(directory)  # type: ignore[misc]


class Arrays(_Watched, ocp.StandardCheckpointHandler):
    """A tree of arrays."""


class Record(_Watched, ocp.JsonCheckpointHandler):
    """JSON values, with checksums of the files of all parts beside them.

    Orbax finalizes the parts in the order of their handlers, this one last, and only
    then gives the checkpoint its name. Checksums are compared before a part is read: a
    read that fails halfway leaves other reads in threads whose errors nobody can catch.
    """

    def finalize(self, directory: Any) -> None:
        """Add the checksums."""
        super().finalize(directory)
        if processes.is_main_process():
            with _abort_all_on_failure(directory):
                own = Path(directory)
                checksums = {part: files.checksums(own.parent / part) for part in PARTS}
                checksums[RECORD] = files.checksums(own)
                files.write_json(own / CHECKSUMS, checksums)


class Checkpoints:
    """The checkpoints of one training in one folder."""

    def __init__(
        self, folder: Path, keep: int | None = None, read_only: bool = False
    ) -> None:
        """Open a folder, made if needed.

        Args:
          folder: of the checkpoints, each a folder named by its step.
          keep: how many of the newest to keep when one is saved; None keeps all.
          read_only: change nothing in the folder, which another user may own.
        """
        self.folder = folder
        leave_out_leftovers()
        handlers = ocp.handlers.DefaultCheckpointHandlerRegistry()
        for part in PARTS:
            arrays = Arrays()
            handlers.add(part, ocp.args.StandardSave, arrays)
            handlers.add(part, ocp.args.StandardRestore, arrays)
        record = Record()  # the last one
        handlers.add(RECORD, ocp.args.JsonSave, record)
        handlers.add(RECORD, ocp.args.JsonRestore, record)
        # So that `save` raises an error in making them.
        directories = ocp.options.AsyncOptions(create_directories_asynchronously=False)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            create=not read_only,
            cleanup_tmp_directories=not read_only,  # left by a run that was killed
            async_options=directories,
        )
        self._manager = ocp.CheckpointManager(
            folder.absolute(), options=options, handler_registry=handlers
        )

    def latest(self) -> int | None:
        """The step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, window: Sequence[Any] = (), **parts: Any) -> None:
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
        saved: Any = {name: ocp.args.StandardSave(tree) for name, tree in parts.items()}
        saved[RECORD] = ocp.args.JsonSave({"window": list(window)})
        with library_errors(self.folder):
            self._manager.save(step, args=ocp.args.Composite(**saved))

    def newest(self, **targets: Any) -> tuple[int, Window, dict[str, Any]] | None:
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
            # A network file system may show it complete to some processes only.
            problems = processes.gather_texts(self._problem(step, targets))
            if any(problems):
                say(f"{max(problems)}; skipped")
                continue
            window, parts = self._read(step, targets)
            for damaged in steps[:index]:
                self._manager.delete(damaged)
            return step, window, parts
        if steps:
            raise InputError(
                f"{self.folder}: expected a checkpoint that can be read, none of "
                f"{', '.join(map(str, steps))} can; delete this folder to train again"
            )
        return None

    def restore(self, step: int, **targets: Any) -> dict[str, Any]:
        """Read parts of a checkpoint, by name.

        Args:
          step: of the checkpoint.
          **targets: {part: the expected tree of arrays or shapes}.

        Raises:
          InputError: the checkpoint is damaged or of another network.
        """
        if problem := self._problem(step, targets):
            raise InputError(problem)
        return self._read(step, targets)[1]

    def _problem(self, step: int, parts: Iterable[str]) -> str:
        """The error of a checkpoint whose checksums differ; empty where they agree."""
        folder = self.folder / str(step)
        try:
            checksums = files.read_json(folder / RECORD / CHECKSUMS, (*PARTS, RECORD))
            for part in (*parts, RECORD):
                there = files.checksums(folder / part)
                if there | checksums[part] != there:
                    raise ValueError(f"{part} are not what was saved")
        # Other errors of the disk may be temporary.
        except (FileNotFoundError, NotADirectoryError, TypeError, ValueError) as error:
            return self._damage(step, error)
        return ""

    def _damage(self, step: int, error: Exception) -> str:
        expected = f"{self.folder / str(step)}: expected a checkpoint of this network"
        return f"{expected}, but it cannot be read ({one_line(error)[:200]})"

    def _read(
        self, step: int, targets: dict[str, Any]
    ) -> tuple[Window, dict[str, Any]]:
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, targets)
        read: Any = {name: ocp.args.StandardRestore(shapes[name]) for name in targets}
        read[RECORD] = ocp.args.JsonRestore()
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(**read))
            window = restored[RECORD]["window"]
            return window, {part: restored[part] for part in targets}
        except Exception as error:  # Orbax documents none
            # The files are complete: it is another network, or a process has died.
            if isinstance(error, OSError) or jax.process_count() > 1:
                raise
            raise InputError(self._damage(step, error)) from error

    def close(self) -> None:
        """Wait until all checkpoints are on disk.

        Raises:
          OSError: the disk is full.
        """
        with shutdown.may_end(False), library_errors(self.folder):
            self._manager.close()

    def __enter__(self) -> Self:
        """The checkpoints themselves."""
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        """Close, also when all processes stop or their training breaks down.

        After another failure, one of several processes does not wait for the others,
        which may never come.
        """
        together = error is None or isinstance(error, Stopped | TrainingError)
        if together or jax.process_count() == 1:
            self.close()
