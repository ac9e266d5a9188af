"""Command line: `python -m difnas_jax.main --config=configs/digits.py`.

Flags become a config, everything else is `pipeline.run`. Exit codes: 0 done, 1 a
training broke down, 2 bad input.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from difnas_jax import pipeline
from difnas_jax.errors import InputError, TrainingError
from difnas_jax.writer import say

FLAGS = flags.FlagValues()
CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "Config file, for example configs/digits.py; any field is a flag of its own, for "
    "example --config.search.max_macs=2000000.",
    lock_config=True,
    flag_values=FLAGS,
)
WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "Where everything is written; runs/<config>-<checksum> by default.",
    flag_values=FLAGS,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
      argv: program name and arguments; those of the process by default.

    Returns:
      The exit code.
    """
    try:
        config, workdir = parse_flags(list(sys.argv if argv is None else argv))
        say(f"workdir: {workdir}")
        results = pipeline.run(config, workdir)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    say("\n".join(results.lines()))
    return 0


def parse_flags(argv: list[str]) -> tuple[ConfigDict, Path]:
    """The config with its overrides, and the workdir.

    Raises:
      InputError: anything that the flags do not allow.
    """
    try:
        rest = FLAGS(argv)[1:]
    except InputError:
        raise
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(_one_line(error)) from error
    except OSError as error:
        raise InputError(f"--config: cannot read the file ({_one_line(error)})") from error
    if rest:
        raise InputError(f"expected only flags, got {rest[0]!r}; values follow an =")
    config = FLAGS["config"].value
    if config is None:
        raise InputError("--config: expected a config file, for example configs/digits.py")
    workdir = FLAGS["workdir"].value
    return config, Path(workdir) if workdir else default_workdir(config)


def default_workdir(config: ConfigDict) -> Path:
    """`runs/<space>-<checksum of the config>`: the same command finds its run again."""
    fields = {name: value for name, value in config.to_dict().items() if name != "stages"}
    checksum = zlib.crc32(json.dumps(fields, sort_keys=True).encode())
    return Path("runs") / f"{config.space.name}-{checksum:08x}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main())
