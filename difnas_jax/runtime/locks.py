"""One run at a time in a workdir: the lock that a process holds on it."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from difnas_jax.errors import InputError, require
from difnas_jax.runtime.files import as_workdir, make_folder, with_filename

LOCK = ".lock"
# Raised by file systems without locks, such as Lustre without the option `flock`; a
# folder on them is used without a lock.
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
# No link is followed: a file outside of the workdir must not be written.
FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
HOLDER_BYTES = 200


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder for this process; the system unlocks it however the process ends.

    Args:
      folder: made if needed.

    Raises:
      InputError: another process has locked it, or it cannot be made or written.
    """
    make_folder(folder)
    path = folder / LOCK
    with as_workdir(folder), contextlib.ExitStack() as opened:
        expected = "a file of no other name, which this program wrote"
        require(not path.is_symlink(), str(path), expected, "a symbolic link")
        file = os.open(path, FLAGS, 0o666)
        opened.callback(os.close, file)
        status = os.fstat(file)
        fits = status.st_nlink == 1 and stat.S_ISREG(status.st_mode)
        require(fits, str(path), expected, "a file with another name, or no file")
        closes = opened.pop_all()
    with closes:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(file, HOLDER_BYTES, 0).decode(errors="replace").strip()
            raise InputError(
                f"--workdir: {folder} is in use by {holder or 'another run'}; "
                "wait for its end, or use another --workdir"
            ) from error
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
        try:
            with with_filename(path):
                _name(file, f"process {os.getpid()} on {socket.gethostname()}")
            yield
        finally:
            with contextlib.suppress(OSError):
                _name(file, "")


def _name(file: int, holder: str) -> None:
    """Write who holds the lock, over the name before; nothing is truncated."""
    os.pwrite(file, holder.encode()[:HOLDER_BYTES].ljust(HOLDER_BYTES) + b"\n", 0)
