"""Files and folders that the user names, in a flag or a field of the config."""

import os
import re
import tempfile
from pathlib import Path

from difnas_jax.errors import InputError, require

# `pathlib` makes gs:/bucket of gs://bucket.
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)


def given_path(field: str, text: str | Path) -> Path:
    """A file or folder, with `~` and `~user` as the home folders that they stand for.

    A bucket of object storage is refused, though Orbax could write to one: it has no
    locks and no atomic renames, on which rest the promises that no two runs share a
    workdir and that every file is complete or absent. Mounted as a folder it is taken
    for one.

    Args:
      field: the flag or field, for errors.
      text: what it names.

    Raises:
      InputError: nothing, an address, an unknown home folder, or a name that is no
        text, which the libraries below cannot pass on.
    """
    name = os.fspath(text)
    require(name != "", field, "a file or folder", "''")
    if ADDRESS.match(name):
        raise InputError(
            f"{field}: expected a file or folder of this machine, got {name!r}; mount "
            "the bucket as a folder (with gcsfuse, for example), and name that"
        )
    require(_is_text(name), field, "a name in UTF-8 (see LC_ALL)", ascii(name))
    path = Path(name)
    try:
        home = path.expanduser()
        if path.parts[:1] == ("~",) and not os.environ.get("HOME", "unset"):
            raise RuntimeError("HOME is empty, and would stand for the root")
    except RuntimeError as error:
        raise InputError(
            f"{field}: expected a home folder, there is none for {name!r} (no such "
            "user, or HOME is not set); write the whole path"
        ) from error
    return home


def check_writable(field: str, path: Path, folder: Path) -> None:
    """Refuse what could not be written, before it is computed.

    Args:
      field: the flag that names it, for the error.
      path: what is to be written.
      folder: above it, which is there.

    Raises:
      InputError: nothing can be made in the folder.
    """
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        text = f"{str(path)!r} cannot ({error.strerror})"
        raise InputError(
            f"{field}: expected what can be made and written, {text}"
        ) from error


def _is_text(name: str) -> bool:
    """Whether a name is text: Python escapes bytes of a name that it cannot decode."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
