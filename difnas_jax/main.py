"""A run: supernet, indicator, search, retraining and report.

    python -m difnas_jax --config=digits
    python -m difnas_jax --config=mbv2:smoke --config.search.max_macs=1500000
    python -m difnas_jax --config=mine.py --config.stages=search,report

--config is a config that comes with the package, or a file, with its arguments after a
colon. Every field of the config is a flag, with an = and no space. All files are
written to --workdir; the same command continues a run that was stopped. It joins the
other processes of its job, which JAX finds on TPU pods, SLURM, Open MPI and Kubernetes;
elsewhere set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID
(launch/README.md). It waits for them for --join-timeout seconds, 300 by default.
--distributed is an error where there are none, --no-distributed runs alone.
"""

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
from difnas_jax.config.files import load_config, override_by_flags
from difnas_jax.config.stages import HARMLESS
from difnas_jax.errors import require
from difnas_jax.runtime import compilation, mesh, processes, shutdown
from difnas_jax.runtime.given_paths import given_path
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
    joins = flags.distributed
    if joins is None:
        joins = processes.number_of_processes() > 1
    if joins:
        processes.join(flags.join_timeout)
    with shutdown.watch_for_failures():
        mesh.check_devices(config.devices)  # before any output, which needs a device
        processes.on_all_processes(lambda: _work(flags, config))


def _work(flags: argparse.Namespace, config: ConfigDict) -> None:
    workdir = Path(flags.workdir or default_workdir(flags.config, config))
    say(f"workdir: {workdir}")
    compilation.suggest_kept_memory()
    say("\n".join(pipeline.run(config, workdir).lines()))


def parse_flags(argv: Sequence[str] | None) -> tuple[argparse.Namespace, ConfigDict]:
    """The flags, and the config with its overrides.

    Raises:
      InputError: a flag or a value that is not allowed.
    """
    parser = shutdown.Parser(
        prog="python -m difnas_jax.main",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", metavar="NAME[:ARGUMENTS]", required=True, help="name or file")
    add("--workdir", metavar="FOLDER", help="default: runs/<config>-<checksum>")
    joining = argparse.BooleanOptionalAction
    add("--distributed", action=joining, help="join others; default: where there are")
    add("--join-timeout", type=float, default=300.0, help="seconds to wait for them")
    known, rest = parser.parse_known_args(argv)
    config = load_config(known.config)
    override_by_flags(config, rest)
    seconds = known.join_timeout
    fits = 0 < seconds <= threading.TIMEOUT_MAX
    require(fits, "--join-timeout", "seconds above 0", seconds)
    fits = bool(known.workdir) or not config.search.name
    require(fits, "--workdir", "that of the supernet, as search.name is given", "none")
    if known.workdir is not None:
        known.workdir = given_path("--workdir", known.workdir)
    return known, config


def default_workdir(name: str, config: ConfigDict) -> Path:
    """`runs/<config>-<checksum>`, so that the same command finds its run again.

    The checksum leaves out fields that change no result, `stages` among them, so that a
    stage that runs alone finds the artefacts of the others.
    """
    sections = [name for name in config if isinstance(config[name], ConfigDict)]
    fields = build.flat(config, sections)
    kept = {name: fields[name] for name in fields.keys() - set(HARMLESS)}
    text = json.dumps([config.seed, kept], sort_keys=True)
    stem = Path(name.partition(":")[0]).stem
    return Path("runs") / f"{stem}-{zlib.crc32(text.encode()):08x}"


if __name__ == "__main__":
    sys.exit(main())
