"""The exceptions that are for the user's eyes.

Whatever a user can get wrong (config, path, budget, data, checkpoint) raises
`InputError` with one line that names what was expected, what came, and the way out.
`main` prints that line and exits with code 2; every other exception is a defect of
this program and keeps its traceback.
"""


def one_line(error: BaseException) -> str:
    """What an error says, or its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


class InputError(ValueError):
    """Bad input from the user; the message is complete and fits on one line."""


class TrainingError(RuntimeError):
    """A training that cannot go on; the message is complete and fits on one line."""


class Stopped(Exception):
    """The run was asked to leave, and everything that it has done is saved."""
