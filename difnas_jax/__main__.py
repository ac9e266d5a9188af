"""`python -m difnas_jax [COMMAND] ...`: a run, or one of the commands beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from difnas_jax import main as run
from difnas_jax.commands import compare, prepare

COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "compare": compare.main,
    "prepare": prepare.main,
}


def main(argv: Sequence[str]) -> int:
    """Hand the arguments to the command that they begin with; without one, to a run."""
    if argv and argv[0] in COMMANDS:
        return COMMANDS[argv[0]](argv[1:])
    return run.main(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
