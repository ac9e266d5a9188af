"""What all commands share: errors of the user in one line, and exit codes.

0    done
1    a training broke down, or the disk is full
2    bad input
75   SIGTERM or SIGUSR1 came and all is saved, or another process of the run has died:
     the same command continues (EX_TEMPFAIL)
130  stopped from the keyboard
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from difnas_jax.errors import InputError, Stopped, TrainingError
from difnas_jax.runtime import files


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Raise an `InputError` instead of leaving the process."""
        raise InputError(f"{message}; see --help")


def exit_code(
    work: Callable[[], None],
    interrupted: str = "the same command continues",
    tell: Callable[[str, int | None], None] = lambda text, code: None,
) -> int:
    """Do the work of a command; an error of the user becomes one line.

    Args:
      work: what to do.
      interrupted: what to say of the state in which the keyboard stops it.
      tell: called with what `explained` says of a failure, before it is shown; see
        `failures.tell`.
    """
    try:
        work()
    except Stopped as stopped:
        print(f"{stopped}; the same command continues", file=sys.stderr)
        return os.EX_TEMPFAIL
    except (Exception, KeyboardInterrupt) as error:
        text, code = explained(error, interrupted)
        tell(text, code)
        if code is None:
            raise
        print(text, file=sys.stderr)
        return code
    return 0


def explained(error: BaseException, interrupted: str = "") -> tuple[str, int | None]:
    """What to say of an error, and the exit code; a traceback and None of a defect."""
    if isinstance(error, KeyboardInterrupt):
        return f"stopped; {interrupted}", 130
    if isinstance(error, InputError | TrainingError):
        return f"error: {error}", 2 if isinstance(error, InputError) else 1
    if isinstance(error, OSError) and error.errno in files.FULL_DISK:
        place = error.filename or "output"
        return (
            f"error: {place}: expected space to write, the disk is full "
            f"({error.strerror}); make space, and run the same command again",
            1,
        )
    return "".join(traceback.format_exception(error)).rstrip(), None
