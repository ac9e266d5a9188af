"""What Orbax prints of a write that failed, beside the error that it raises."""

import logging
import sys
from typing import Any

# Its other writes go on, and find the loop closed that waited for them, or Python.
LEFT_BEHIND = ("Event loop is closed", "sys.meta_path is None")


def leave_out_leftovers() -> None:
    """Print what is raised only, which is one line about a full disk, say.

    And not hundreds of lines before and after it. Any other error of a thread, or
    that Python ignores, is shown as before.
    """
    logging.getLogger("absl").addFilter(_is_no_error_of_orbax)
    for name in ("excepthook", "unraisablehook"):
        shows = getattr(sys, name)
        if not isinstance(shows, _Hook):
            setattr(sys, name, _Hook(shows))


def _is_no_error_of_orbax(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or "orbax" not in record.pathname


class _Hook:
    """A hook of `sys` for errors that nobody catches, without those left behind."""

    def __init__(self, shows: Any) -> None:
        self._shows, self._left_behind = shows, LEFT_BEHIND

    def __call__(self, first: Any, *rest: Any) -> None:
        error = rest[0] if rest else first.exc_value
        if not str(error).startswith(self._left_behind):
            self._shows(first, *rest)
