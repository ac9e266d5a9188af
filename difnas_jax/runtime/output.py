"""Lines for whoever reads: a terminal, a file or a pipe, which may be gone."""

import errno
import os
from typing import TextIO

# Of a pipe that nobody reads any more, and of a terminal that was closed.
GONE = (errno.EPIPE, errno.EIO)


def show(text: str, stream: TextIO | None) -> None:
    """Print a line at once.

    Characters that the stream cannot encode are escaped. A stream that nobody reads any
    more is a reason to be silent, not to stop: `difnas-jax ... | head -3`
    does the same work as without `head`.
    """
    if stream is None:  # it was closed before the process started
        return
    encoding = stream.encoding or "utf-8"
    known = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(known, file=stream, flush=True)
    except OSError as error:
        if error.errno not in GONE:
            raise
        silence(stream)


def silence(stream: TextIO) -> None:
    """Write what comes, and what is still in its buffer, to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
