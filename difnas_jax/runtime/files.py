"""Reading and writing files atomically, with errors that name the file.

Every file is written under a temporary name and renamed, so that a reader sees the old
file, the new one or none, never half of one. A file with other contents than expected
raises an `InputError` with its path and the way out; a file that cannot be written
raises an `OSError` with its path.
"""

import contextlib
import csv
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from difnas_jax.errors import InputError, one_line
from difnas_jax.runtime.disk_errors import FULL_DISK

# All that reading a damaged file raises.
DAMAGE = (
    csv.Error,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
)
CHECKSUM = "checksum"  # key of a JSON object


def make_folder(folder: Path) -> None:
    """Make a workdir, if needed.

    Raises:
      InputError: it cannot be made.
    """
    with as_workdir(folder):
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def as_workdir(folder: Path) -> Iterator[None]:
    """Report a folder that cannot be used as bad input; a full disk is none."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise
        raise InputError(
            f"--workdir: expected a folder that can be made and written, {folder} "
            f"cannot ({error.strerror})"
        ) from error


@contextlib.contextmanager
def with_filename(path: Path) -> Iterator[None]:
    """Add the file to an `OSError`; a failed write does not name it."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that gets its name only when it is complete and on disk.

    Args:
      path: the final name; its folder is made if needed.
      mode: `w` for text, `wb` for bytes.

    Raises:
      OSError: it cannot be written; an earlier file of that name is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with with_filename(path), open(temporary, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder that gets its name only when it is complete.

    Args:
      path: the final name, which nothing has; the folders above it are made.

    Raises:
      OSError: it cannot be written.
      InputError: something else has the name by now.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of an earlier process of this number
    try:
        temporary.mkdir(parents=True)
        yield temporary
        try:
            os.replace(temporary, path)
        except OSError as error:
            if not os.path.lexists(path):
                raise
            expected = "expected the name of a new folder, another process took it"
            raise InputError(f"{path}: {expected} meanwhile") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def checksum(path: Path) -> str:
    """CRC-32 of the bytes of a file, eight hexadecimal digits."""
    return f"{zlib.crc32(path.read_bytes()):08x}"


def checksums(folder: Path) -> dict[str, str]:
    """{relative name: checksum} of all files in a folder."""
    paths = sorted(filter(Path.is_file, folder.rglob("*")))
    return {str(path.relative_to(folder)): checksum(path) for path in paths}


def write_checked_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with a checksum of its values, which reading compares."""
    write_json(path, {CHECKSUM: _checksum_of_json(value), **value})


def read_checked_json(path: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Read what `write_checked_json` wrote, without its checksum.

    A file without one, as version 0.2 wrote it, is taken as it is.

    Raises:
      InputError: as of `read_json`, or the values are not those that were written.
    """
    value = read_json(path, keys)
    given = value.pop(CHECKSUM, None)
    with damage_as_input_error(path, "the values that its checksum is of"):
        if given not in (None, _checksum_of_json(value)):
            raise ValueError("it was changed")
    return value


def _checksum_of_json(value: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(value).encode()):08x}"


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, keys in the order given."""
    with atomic_write(path) as file:
        json.dump(value, file, indent=2)
        file.write("\n")


def read_json(path: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """Read a JSON object.

    Args:
      path: the file.
      keys: keys that it must have.

    Raises:
      InputError: the file is missing, is not a JSON object, or lacks a key.
    """
    with damage_as_input_error(path, "a JSON object"):
        value = json.loads(path.read_text())
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        if missing := [key for key in keys if key not in value]:
            raise ValueError("no " + ", ".join(missing))
    return value


def write_json_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    with atomic_write(path) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def read_json_lines(path: Path, keys: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Read a file of one JSON object a line.

    A last line without a newline is left out: a run was killed while it appended it.

    Args:
      path: the file.
      keys: keys that each row must have, with numbers as values.

    Raises:
      InputError: the file is missing, or a line has another form.
    """
    with damage_as_input_error(path, "one JSON object a line"):
        *lines, _ = path.read_text().split("\n")
        rows = [json.loads(line) for line in lines]
        for row in rows:
            if not all(isinstance(row[key], int | float) for key in keys):
                raise ValueError(f"no number in one of {', '.join(keys)}")
    return rows


@contextlib.contextmanager
def given_file(name: str, expected: str) -> Iterator[None]:
    """As `damage_as_input_error`, for a file of the user, which no stage writes.

    Args:
      name: the flag or the file.
      expected: what it should be.
    """
    try:
        yield
    except DAMAGE as error:
        raise InputError(
            f"{name}: expected {expected}, but it cannot be read ({one_line(error)})"
        ) from error


@contextlib.contextmanager
def damage_as_input_error(path: Path, expected: str) -> Iterator[None]:
    """Turn what reading a file that is missing or damaged raises into an `InputError`.

    Args:
      path: the file.
      expected: what it should hold.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: is missing; run the stage that writes it") from error
    except DAMAGE as error:
        raise InputError(
            f"{path}: expected {expected}, but it cannot be read ({one_line(error)}); "
            "delete it and run its stage again"
        ) from error
