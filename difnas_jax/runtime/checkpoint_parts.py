"""The parts of a checkpoint: how Orbax writes them, and what happens on a failure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from difnas_jax.runtime import failures, files
from difnas_jax.runtime.command import describe_error
from difnas_jax.runtime.processes import is_main_process

RECORD = "record"
# The last one is there where a method remembers something.
PARTS = ("variables", "optimizer", "memory")
CHECKSUMS = "checksums.json"


@contextlib.contextmanager
def _abort_all_on_failure(directory: Any) -> Iterator[None]:
    """End all processes at once if writing `<step>/<part>` of a folder fails.

    Orbax raises what fails in the background at the next save only. On several
    processes that is too late: the others wait for this one at a barrier, and it waits
    for them at the next barrier.
    """
    try:
        with files.disk_full_as_oserror(Path(directory).parents[1]):
            yield
    except Exception as error:
        failures.abort_all(*describe_error(error))
        raise


class _WatchedFuture:
    """A future of Orbax for a part that is written in the background."""

    def __init__(self, future: Any, directory: Any) -> None:
        """Watch a future that writes to a directory."""
        self._future, self._directory = future, directory

    def result(self, timeout: float | None = None) -> Any:
        """Wait until the part is written."""
        with _abort_all_on_failure(self._directory):
            return self._future.result(timeout)

    def cancel(self) -> Any:
        """Cancel the writing."""
        return self._future.cancel()


class _Watched:
    """Mixin for a handler of Orbax: a failure in its background work ends all."""

    async def async_save(self, directory: Any, **kwargs: Any) -> list[_WatchedFuture]:
        """Start to write."""
        started = await super().async_save(directory, **kwargs)  # type: ignore[misc]
        return [_WatchedFuture(future, directory) for future in started or ()]

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
        if is_main_process():
            with _abort_all_on_failure(directory):
                checksums = {p: checksums_of(Path(directory).parent / p) for p in PARTS}
                checksums[RECORD] = checksums_of(Path(directory))
                files.write_json(Path(directory) / CHECKSUMS, checksums)


def handlers() -> ocp.handlers.CheckpointHandlerRegistry:
    """The handler of each part, the record last."""
    registry = ocp.handlers.DefaultCheckpointHandlerRegistry()
    for part in PARTS:
        arrays = Arrays()
        registry.add(part, ocp.args.StandardSave, arrays)
        registry.add(part, ocp.args.StandardRestore, arrays)
    record = Record()
    registry.add(RECORD, ocp.args.JsonSave, record)
    registry.add(RECORD, ocp.args.JsonRestore, record)
    return registry


def checksums_of(part: Path) -> dict[str, str]:
    """{name: checksum} of all files of a part."""
    paths = sorted(filter(Path.is_file, part.rglob("*")))
    return {str(path.relative_to(part)): files.checksum(path) for path in paths}
