"""What the program says of itself. Without JAX, so that help comes at once."""

import argparse
import ast
import sys
import textwrap
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from difnas_jax.config.files import PACKAGE, shipped, shipped_configs
from difnas_jax.runtime.output import show, silence
from difnas_jax.runtime.versions import versions
from difnas_jax.search.counting import networks_within
from difnas_jax.search.problem import Budget, Problem
from difnas_jax.spaces import SPACES, build
from difnas_jax.spaces.costs import cost_table

# Modules of `commands/`: each has `main(argv) -> exit code`.
COMMANDS = ("compare", "export", "isometry", "latency", "predict", "prepare", "rank")
# How the arguments of a config begin that changes the method of another one.
OF_AN_EXPERIMENT = "Arguments: an experiment"

DESCRIPTION = """\
Neural architecture search: trains a supernet, searches the best network within a
budget, retrains it, and writes a report.

    difnas-jax --config=digits --workdir=runs/digits
    difnas-jax --config=mbv2:smoke --config.search.max_macs=1500000
    difnas-jax --config=mine.py --config.stages=search,report

`python -m difnas_jax` is the same program. The same command continues a run that was
stopped. Every field of the config is a flag, with an = and no space. The processes of a
job join by themselves on TPU pods and under SLURM, Open MPI and Kubernetes; elsewhere
set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID (docs/scaling.md)."""


def parser(kind: type[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """The parser of the flags of a run, of this class."""
    made = kind(
        prog="difnas-jax",
        usage="difnas-jax [COMMAND] --config=NAME [--config.FIELD=VALUE ...] [FLAGS]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--config", metavar="NAME[:ARGUMENTS]", help="a config of the list, or a file")
    add("--workdir", metavar="FOLDER", help="default: runs/<config>-<checksum>")
    ours = f"difnas_jax {versions()['difnas_jax']}"
    add("--version", action="version", version=ours, help="print the version")
    text = "say what the run would do, and do nothing"
    add("--dry-run", action="store_true", help=text)
    text = "print every field of the config, its comment and its value"
    add("--help-config", action="store_true", help=text)
    add_joining(made)
    return made


def add_joining(made: argparse.ArgumentParser) -> None:
    """Add the flags that `processes.join_others` takes."""
    add, yes_or_no = made.add_argument, argparse.BooleanOptionalAction
    text = "join the other processes of the job, or run alone"
    add("--distributed", action=yes_or_no, help=text)
    text = "seconds to wait for the other processes (300)"
    add("--join-timeout", type=seconds, default=300.0, metavar="SECONDS", help=text)


def seconds(text: str) -> float:
    """The type of a flag: as many as a thread can wait."""
    value = float(text)
    if not 0 < value <= threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {value}")
    return value


def help_asked(argv: Sequence[str]) -> bool:
    """Print the help of a run if it is asked for; whether it was."""
    asked = not {"-h", "--help"}.isdisjoint(argv)
    if asked:
        try:
            show(help_text(), sys.stdout)
        except OSError as error:
            silence(sys.stdout)
            sys.exit(f"error: standard output: {error.strerror}")
    return asked


def help_text() -> str:
    """Flags, commands, configs, methods, spaces, and where the fields are."""
    configs, methods = [], []
    for name, path in shipped_configs().items():
        of_experiment = OF_AN_EXPERIMENT in path.read_text()
        (methods if of_experiment else configs).append((name, _summary(path)))
    commands = [(name, _summary(PACKAGE / f"commands/{name}.py")) for name in COMMANDS]
    return "\n\n".join(
        [
            parser(argparse.ArgumentParser).format_help().rstrip(),
            _table("commands (COMMAND --help)", commands),
            _table("configs (--config=NAME[:ARGUMENTS])", configs),
            _table("methods (--config=METHOD:NAME, NAME by default mbv2)", methods),
            _table("spaces (--config.space.name)", map(_of_space, SPACES)),
            "fields: --config=NAME --help-config prints all of them with their values; "
            "they are in\n  difnas_jax/config/fields.py and method_fields.py",
            f"notebooks:\n  {shipped('notebooks')}",
            f"scripts for GPU hosts, TPU slices, SLURM and GKE:\n  {shipped('launch')}",
        ]
    )


def _summary(path: Path) -> str:
    """The first line of the docstring of a file, which is not run."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def _of_space(name: str) -> tuple[str, str]:
    size = {"image_size": 224, "image_channels": 3, "num_classes": 1000}
    space = build(name, **size)
    count = networks_within(Problem(space, cost_table(space), Budget({})))
    known = "" if count is None else f", {count:,} networks"
    return name, f"{space.num_layers} layers{known}"


def _table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    listed = list(rows)
    width = max(len(name) for name, _ in listed) + 2
    lines = [
        textwrap.fill(
            text,
            width=88,
            initial_indent=f"  {name:{width}}",
            subsequent_indent=" " * (2 + width),
        )
        for name, text in listed
    ]
    return "\n".join([f"{title}:", *lines])
