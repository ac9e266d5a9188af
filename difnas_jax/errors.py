"""The exceptions whose messages are written for the user.

Whatever a user can get wrong (config, path, budget, data, checkpoint) raises
`InputError` with one line that names the field, what was expected, what was given, and
the way out. The command prints that line and exits with code 2; an exception of another
type is a defect of this program and keeps its traceback.
"""

from collections.abc import Sequence


def one_line(error: BaseException) -> str:
    """The message of an error, or its type where the message is empty."""
    text = " ".join(str(error).split()) or type(error).__name__
    return f"no {text}" if isinstance(error, KeyError) else text  # it is the key alone


def first_of(names: Sequence[str]) -> str:
    """The first five names, and whether there are more, in one line."""
    return ", ".join([*names[:5], *(["..."] if len(names) > 5 else [])])


class InputError(ValueError):
    """Bad input from the user; the message is complete and fits on one line."""


class TrainingError(RuntimeError):
    """A training that cannot be continued; the message is complete, on one line."""


class Stopped(Exception):
    """A signal has stopped the run, and everything that it has done is saved."""


def require(fits: bool, field: str, expected: str, got: object) -> None:
    """Raise `InputError` unless the value of a field fits what is expected."""
    if not fits:
        raise InputError(f"{field}: expected {expected}, got {got}")
