"""A run: supernet, indicator, search, retraining and report. See `usage.py`."""

import argparse
import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax import pipeline, plan, usage
from difnas_jax.config import build, default
from difnas_jax.config.comments import described
from difnas_jax.config.files import load_config, override_by_flags
from difnas_jax.config.stages import HARMLESS
from difnas_jax.errors import require
from difnas_jax.runtime import compilation, failures, mesh, processes, shutdown
from difnas_jax.runtime.given_paths import given_path
from difnas_jax.runtime.metrics import say


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
      argv: the arguments; those of the process by default.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    argv = sys.argv[1:] if argv is None else argv
    return 0 if usage.help_asked(argv) else shutdown.exit_code(lambda: _run(argv))


def _run(argv: Sequence[str]) -> None:
    flags, config = parse_flags(argv)
    if flags.help_config:
        say(described(config))
        return
    if flags.dry_run:
        mesh.check_devices(config.devices)
        say("\n".join(plan.dry_run(config, _workdir(flags, config))))
        return
    processes.join_others(flags.distributed, flags.join_timeout)
    with failures.watch_for_failures():
        mesh.check_devices(config.devices)  # before any output, which needs a device
        processes.on_all_processes(lambda: _work(flags, config))


def _work(flags: argparse.Namespace, config: ConfigDict) -> None:
    workdir = _workdir(flags, config)
    compilation.suggest_kept_memory()
    say("\n".join(pipeline.run(config, workdir).lines()))


def _workdir(flags: argparse.Namespace, config: ConfigDict) -> Path:
    workdir = Path(flags.workdir or default_workdir(flags.config, config))
    say(f"workdir: {workdir}")
    return workdir


def parse_flags(argv: Sequence[str]) -> tuple[argparse.Namespace, ConfigDict]:
    """The flags, and the config with its overrides.

    Raises:
      InputError: a flag or a value that is not allowed.
    """
    known, rest = usage.parser(shutdown.Parser).parse_known_args(argv)
    given = known.config is not None or known.help_config
    require(given, "--config", "the name of a config (see --help) or a file", "none")
    config = default() if known.config is None else load_config(known.config)
    override_by_flags(config, rest)
    fits = bool(known.workdir) or not config.search.name
    require(fits, "--workdir", "that of the supernet, as search.name is given", "none")
    if known.workdir is not None:
        known.workdir = given_path("--workdir", known.workdir)
    return known, config


def default_workdir(name: str, config: ConfigDict) -> Path:
    """`runs/<config>-<checksum>`, so that the same command finds its run again.

    The checksum leaves out fields that change no result, `stages` among them, so that a
    stage that runs alone finds the artefacts of the others; and those of the export,
    which is written again where they change.
    """
    sections = [name for name in config if isinstance(config[name], ConfigDict)]
    sections.remove("export")
    fields = build.flat(config, sections)
    kept = {name: fields[name] for name in fields.keys() - set(HARMLESS)}
    text = json.dumps([config.seed, kept], sort_keys=True)
    stem = Path(name.partition(":")[0]).stem
    return Path("runs") / f"{stem}-{zlib.crc32(text.encode()):08x}"


if __name__ == "__main__":
    sys.exit(main())
