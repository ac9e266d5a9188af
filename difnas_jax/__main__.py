"""`python -m difnas_jax [COMMAND] ...`: a run, or one of the other commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType

from difnas_jax import main as run
from difnas_jax.commands import compare, prepare
from difnas_jax.errors import InputError
from difnas_jax.runtime.command import exit_code

# Each has `main(argv) -> exit code`; the first line of its docstring is its help.
COMMANDS: dict[str, ModuleType] = {"compare": compare, "prepare": prepare}


def main(argv: Sequence[str] | None = None) -> int:
    """Pass the arguments on to the command that they begin with, or else to a run.

    Args:
      argv: the arguments; those of the process by default.

    Returns:
      The exit code, one of those of `runtime/command.py`.
    """
    argv = sys.argv[1:] if argv is None else argv
    first = argv[0] if argv else ""
    if first in ("-h", "--help"):
        print(_help())
        return 0
    if first in COMMANDS:
        return COMMANDS[first].main(argv[1:])
    if first and not first.startswith("-"):
        return exit_code(lambda: _refuse(first))
    return run.main(argv)


def _help() -> str:
    summaries = {
        "--config=...": "A run: supernet, indicator, search, retraining and report.",
        **{name: (m.__doc__ or "").split("\n")[0] for name, m in COMMANDS.items()},
    }
    lines = [f"  {name:14}{text}" for name, text in summaries.items()]
    usage = "usage: python -m difnas_jax [COMMAND] ...", "", *lines, ""
    own = ", ".join(f"python -m difnas_jax {name} --help" for name in COMMANDS)
    return "\n".join((*usage, f"Flags: python -m difnas_jax.main --help, {own}"))


def _refuse(command: str) -> None:
    raise InputError(
        f"{command!r}: unknown command; expected one of {', '.join(COMMANDS)}, or the "
        "flags of a run, --config=..."
    )


if __name__ == "__main__":
    sys.exit(main())
