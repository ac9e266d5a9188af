"""What all commands share: exit codes, and errors of the user in one line.

0    done
1    a training broke down, or the disk is full
2    bad input
75   stopped by SIGTERM or SIGUSR1 with its state saved, or another process of the run
     has died; the same command continues (EX_TEMPFAIL)
130  interrupted from the keyboard
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
    """An argument parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Raise an `InputError` instead of exiting."""
        raise InputError(f"{message}; see --help")


def exit_code(
    work: Callable[[], None],
    interrupted: str = "the same command continues",
    on_failure: Callable[[str, int | None], None] = lambda text, code: None,
) -> int:
    """Do the work of a command and print an error of the user as one line.

    Args:
      work: what the command does.
      interrupted: printed if the command is interrupted from the keyboard.
      on_failure: called with the result of `describe_error` before it is printed, for
        example `failures.abort_all`.

    Returns:
      The exit code, one of those above.
    """
    try:
        work()
    except Stopped as stopped:
        print(f"{stopped}; the same command continues", file=sys.stderr)
        return os.EX_TEMPFAIL
    except (Exception, KeyboardInterrupt) as error:
        text, code = describe_error(error, interrupted)
        on_failure(text, code)
        if code is None:
            raise
        print(text, file=sys.stderr)
        return code
    return 0


def describe_error(
    error: BaseException, interrupted: str = ""
) -> tuple[str, int | None]:
    """One line about an error and the exit code.

    Of an unexpected error, a defect of the program, it is a traceback and None.
    """
    if isinstance(error, KeyboardInterrupt):
        return f"stopped; {interrupted}", 130
    if isinstance(error, InputError | TrainingError):
        return f"error: {error}", 2 if isinstance(error, InputError) else 1
    if isinstance(error, OSError) and error.errno in files.FULL_DISK:
        path = error.filename or "output"
        return (
            f"error: {path}: expected space to write, the disk is full "
            f"({error.strerror}); make space, and run the same command again",
            1,
        )
    return "".join(traceback.format_exception(error)).rstrip(), None
