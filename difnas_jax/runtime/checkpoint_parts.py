"""The parts of a checkpoint: how Orbax writes them, and what happens where it fails."""

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
    """End all processes at once where writing `<step>/<part>` of a folder fails.

    In the background it would come to light at the next save. On several processes that
    is too late: the others wait for this one at a barrier, and it for them at the next
    one.
    """
    try:
        with files.disk_full_as_oserror(Path(directory).parents[1]):
            yield
    except Exception as error:
        failures.abort_all(*describe_error(error))
        raise


class _Writing:
    """A part that is being written, in the background."""

    def __init__(self, future: Any, directory: Any) -> None:
        """Watch a future of Orbax that writes to a directory."""
        self._future, self._directory = future, directory

    def result(self, timeout: float | None = None) -> Any:
        """Wait for its end."""
        with _abort_all_on_failure(self._directory):
            return self._future.result(timeout)

    def cancel(self) -> Any:
        """Give up."""
        return self._future.cancel()


class _AbortsOnFailure:
    """A handler of Orbax whose failures end all processes."""

    async def async_save(self, directory: Any, **kwargs: Any) -> list[_Writing]:
        """Start to write."""
        started = await super().async_save(directory, **kwargs)  # type: ignore[misc]
        return [_Writing(future, directory) for future in started or ()]

    def finalize(self, directory: Any) -> None:
        """Called when the files of all processes are there."""
        with _abort_all_on_failure(directory):
            super().finalize(directory)  # type: ignore[misc]


class Arrays(_AbortsOnFailure, ocp.StandardCheckpointHandler):
    """A tree of arrays."""


class Record(_AbortsOnFailure, ocp.JsonCheckpointHandler):
    """JSON values, with checksums of all files beside them.

    Orbax finalizes parts in the order of their handlers, this one last, and only then
    gives the checkpoint its name. Damage is looked for before a part is read: a read
    that fails halfway leaves others behind, whose tracebacks nobody can catch.
    """

    def finalize(self, directory: Any) -> None:
        """Add the checksums."""
        super().finalize(directory)
        if is_main_process():
            with _abort_all_on_failure(directory):
                checksums = {p: checksums_of(Path(directory).parent / p) for p in PARTS}
                checksums[RECORD] = checksums_of(Path(directory))
                files.write_json(Path(directory) / CHECKSUMS, checksums)


@ocp.args.register_with_handler(Arrays, for_save=True)
class SaveArrays(ocp.args.StandardSave):
    """What Orbax hands to `Arrays`."""


@ocp.args.register_with_handler(Arrays, for_restore=True)
class RestoreArrays(ocp.args.StandardRestore):
    """Likewise."""


@ocp.args.register_with_handler(Record, for_save=True)
class SaveRecord(ocp.args.JsonSave):
    """What Orbax hands to `Record`."""


@ocp.args.register_with_handler(Record, for_restore=True)
class RestoreRecord(ocp.args.JsonRestore):
    """Likewise."""


def checksums_of(part: Path) -> dict[str, str]:
    """{name: checksum} of all files of a part."""
    paths = sorted(filter(Path.is_file, part.rglob("*")))
    return {str(path.relative_to(part)): files.checksum(path) for path in paths}
