"""`python -m difnas_jax [COMMAND] ...`: a run, or one of the other commands."""

import sys
from collections.abc import Sequence
from types import ModuleType

from difnas_jax import main as run
from difnas_jax.commands import compare, isometry, prepare, rank

# Each has `main(argv) -> exit code`; the first line of its docstring is its help.
COMMANDS: dict[str, ModuleType] = {
    "compare": compare,
    "isometry": isometry,
    "prepare": prepare,
    "rank": rank,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Pass the arguments on to the command that they begin with, or else to a run.

    Args:
      argv: the arguments; those of the process by default.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    argv = sys.argv[1:] if argv is None else argv
    first = argv[0] if argv else "--config"
    if first in COMMANDS:
        return COMMANDS[first].main(argv[1:])
    if first in ("-h", "--help"):
        print("usage: python -m difnas_jax [COMMAND] ...\n")
        print("  --config=...  A run: supernet, indicator, search, retraining, report.")
        for name, module in COMMANDS.items():
            print(f"  {name:14}{(module.__doc__ or '').splitlines()[0]}")
        print("\nFlags: python -m difnas_jax.main --help, or COMMAND --help")
        return 0
    if first.startswith("-"):
        return run.main(argv)
    known = ", ".join(COMMANDS)
    problem = f"{first!r}: unknown command; expected one of {known}, or --config=..."
    print(f"error: {problem}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
