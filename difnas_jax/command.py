"""What all commands share: errors of the user in one line, and exit codes.

0    done
1    a training broke down, or the disk is full
2    bad input
75   SIGTERM or SIGUSR1 came: saved, the same command continues (EX_TEMPFAIL)
130  stopped from the keyboard
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from difnas_jax import files
from difnas_jax.errors import InputError, Stopped, TrainingError


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Raise an `InputError` instead of leaving the process."""
        raise InputError(f"{message}; see --help")


def exit_code(
    work: Callable[[], None], interrupted: str = "the same command continues"
) -> int:
    """Do the work of a command; an error of the user becomes one line.

    Args:
      work: what to do.
      interrupted: what to say of the state in which the keyboard stops it.
    """
    try:
        work()
    except (InputError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except OSError as error:
        if error.errno not in files.FULL_DISK:
            raise
        print(
            f"error: {error.filename}: expected space to write, the disk is full "
            f"({error.strerror}); make space, and run the same command again",
            file=sys.stderr,
        )
        return 1
    except Stopped as stopped:
        print(f"{stopped}; the same command continues", file=sys.stderr)
        return os.EX_TEMPFAIL
    except KeyboardInterrupt:
        print(f"stopped; {interrupted}", file=sys.stderr)
        return 130
    return 0
