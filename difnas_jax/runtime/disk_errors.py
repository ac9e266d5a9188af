"""Errors of the disk, which are no defects: one line says what to mend."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from difnas_jax.errors import InputError

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
# Of files and folders that cannot be used as they are: their rights, their kind, links
# that lead nowhere, limits (`ulimit -f`), disks and servers that fail.
UNUSABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EFBIG,
    errno.EIO,
    errno.ESTALE,
)


@contextlib.contextmanager
def library_errors(path: Path) -> Iterator[None]:
    """Turn what libraries raise where a file cannot be written into an `OSError`.

    Args:
      path: what is written; their errors name a part of it, or nothing.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        texts = {os.strerror(code): code for code in (*FULL_DISK, *UNUSABLE)}
        texts["Not enough disk space"] = errno.ENOSPC  # TFDS looks before it writes
        for text, code in texts.items():
            if text in str(error):
                raise OSError(code, os.strerror(code), str(path)) from error
        raise
