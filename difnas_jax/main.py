"""Command line of a run: `python -m difnas_jax.main --config=digits`.

The flags become a config, which `pipeline.run` carries out. The exit codes are listed
in `runtime/shutdown.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax import pipeline
from difnas_jax.config import build
from difnas_jax.config.files import load_config
from difnas_jax.config.overrides import override_by_flags
from difnas_jax.config.stages import HARMLESS
from difnas_jax.errors import InputError
from difnas_jax.runtime import compilation, mesh, processes, shutdown
from difnas_jax.runtime.metrics import say


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
      argv: the arguments; those of the process by default.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    return shutdown.exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> None:
    flags, config = parse_flags(argv)
    if flags.distributed:
        processes.join(flags.join_timeout)
    with shutdown.watch_for_failures():
        mesh.check_devices(config.devices)  # before any output, which needs a device
        processes.on_all_processes(lambda: _work(flags, config))


def _work(flags: argparse.Namespace, config: ConfigDict) -> None:
    workdir = Path(flags.workdir or default_workdir(flags.config, config))
    say(f"workdir: {workdir}")
    compilation.suggest_huge_pages()
    results = pipeline.run(config, workdir)
    say("\n".join(results.lines()))


def parse_flags(
    argv: Sequence[str] | None,
) -> tuple[argparse.Namespace, ConfigDict]:
    """The flags, and the config with its overrides.

    Raises:
      InputError: a flag or a value that is not allowed.
    """
    parser = shutdown.Parser(
        prog="python -m difnas_jax.main",
        description="Supernet, indicator, search, retraining and report in one run.",
        epilog="Every field of the config is a flag, with an = and no space: "
        "--config.search.max_macs=1500000, --config.stages=search,report.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        required=True,
        metavar="NAME[:ARGUMENTS]",
        help="a config that comes with the package, as digits or mbv2:smoke, or a file",
    )
    parser.add_argument(
        "--workdir",
        metavar="FOLDER",
        help="where all files are written; runs/<config>-<checksum> by default",
    )
    parser.add_argument(
        "--distributed",
        action="store_true",
        help="join the other processes of this job, which JAX finds on TPU pods, "
        f"SLURM, Open MPI and Kubernetes; elsewhere set {processes.COORDINATOR}, "
        f"{processes.PROCESSES} and {processes.PROCESS}; see launch/README.md",
    )
    parser.add_argument(
        "--join-timeout",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="how long to wait for the other processes; 300 by default",
    )
    known, rest = parser.parse_known_args(argv)
    config = load_config(known.config)
    override_by_flags(config, rest)
    if not 0 < known.join_timeout <= threading.TIMEOUT_MAX:
        raise InputError(
            f"--join-timeout: expected seconds above 0, got {known.join_timeout}"
        )
    if known.workdir == "":
        raise InputError("--workdir: expected a folder, got nothing")
    return known, config


def default_workdir(name: str, config: ConfigDict) -> Path:
    """`runs/<config>-<checksum>`, so that the same command finds its run again.

    The checksum leaves out fields that change no result, `stages` among them, so that a
    stage that runs alone finds the artefacts of the others.
    """
    sections = [name for name in config if isinstance(config[name], ConfigDict)]
    fields = {
        name: value
        for name, value in build.flat(config, sorted(sections)).items()
        if name not in HARMLESS
    }
    text = json.dumps([config.seed, fields], sort_keys=True)
    checksum = zlib.crc32(text.encode())
    return Path("runs") / f"{Path(name.partition(':')[0]).stem}-{checksum:08x}"


if __name__ == "__main__":
    sys.exit(main())
