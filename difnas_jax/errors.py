"""The exceptions that are for the user's eyes.

Whatever a user can get wrong (config, path, budget, data, checkpoint) raises
`InputError` with one line that names what was expected, what came, and the way out.
`main` prints that line and exits with code 2; every other exception is a defect of
this program and keeps its traceback.
"""


class InputError(ValueError):
    """Bad input from the user; the message is complete and fits on one line."""


class TrainingError(RuntimeError):
    """A training that cannot go on; the message is complete and fits on one line."""


class Stopped(Exception):
    """The run was asked to leave, and everything that it has done is saved."""
