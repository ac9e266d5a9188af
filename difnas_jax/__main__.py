"""`python -m difnas_jax [COMMAND] ...`: a run, or one of the other commands."""

import importlib
import sys
from collections.abc import Sequence

from difnas_jax import usage


def main(argv: Sequence[str] | None = None) -> int:
    """Pass the arguments on to the command that they begin with, or else to a run.

    Args:
      argv: the arguments; those of the process by default.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    try:
        return _dispatch(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # while JAX is imported; commands see to their own
        print("stopped before anything was begun", file=sys.stderr)
        return 130


def _dispatch(argv: Sequence[str]) -> int:
    first = argv[0] if argv else "--config"
    if first in usage.COMMANDS:
        command = importlib.import_module(f"difnas_jax.commands.{first}")
        return command.main(argv[1:])
    if first.startswith("-"):
        if usage.help_asked(argv):
            return 0
        # It imports JAX, which takes seconds.
        from difnas_jax import main as run

        return run.main(argv)
    known = ", ".join(usage.COMMANDS)
    problem = f"{first!r}: unknown command; expected one of {known}, or --config=..."
    print(f"error: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
