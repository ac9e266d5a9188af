"""Time every op of a space on this device, for searches under a bound on latency.

    difnas-jax latency --config=digits
    difnas-jax latency --config=mbv2 --device=cpu --batch=8 --to=cpu.json

Writes milliseconds by layer and op, and prints how well their sums predict whole
networks. A search reads the file (`search.latency`) and keeps to a bound on the sum
(`search.max_latency_ms`). Of the config this command reads the space and the seed;
nothing trains and no data are read. Let no other program run beside it:
docs/latency.md says what is measured.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
from ml_collections import ConfigDict

from difnas_jax.config.build import build_space
from difnas_jax.config.files import load_config, override_by_flags
from difnas_jax.config.ranges import check_numbers
from difnas_jax.deployment.latency import measure
from difnas_jax.deployment.timed_programs import Conditions
from difnas_jax.errors import require
from difnas_jax.models.network import DTYPES
from difnas_jax.runtime import compilation
from difnas_jax.runtime.given_paths import check_writable, given_path
from difnas_jax.runtime.mesh import device_count
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.progress import working
from difnas_jax.runtime.shutdown import Parser, exit_code

DEVICES = "cpu", "gpu", "tpu"
INTERRUPTED = "nothing was written"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    return exit_code(lambda: _measure(*parse_flags(argv)), INTERRUPTED)


def parse_flags(
    argv: Sequence[str] | None,
) -> tuple[ConfigDict, argparse.Namespace, Path]:
    """The config with its overrides, the flags, and the file to write.

    Raises:
      InputError: a flag or a value that is not allowed.
    """
    parser = Parser("difnas-jax latency", __doc__)
    add = parser.add_argument
    add("--config", metavar="NAME[:ARGUMENTS]", required=True, help="with the space")
    text = "what to measure on (the device that JAX chooses)"
    add("--device", choices=DEVICES, help=text)
    add("--batch", type=int, default=1, metavar="N", help="images at once (1)")
    text = "of the feature maps (float32)"
    add("--dtype", choices=tuple(DTYPES), default="float32", help=text)
    add("--to", default="latency.json", metavar="FILE", help="default: latency.json")
    flags, rest = parser.parse_known_args(argv)
    config = load_config(flags.config)
    override_by_flags(config, rest)
    check_numbers(config)
    require(flags.batch >= 1, "--batch", "1 or more", flags.batch)
    path = given_path("--to", flags.to)
    fits = path.is_file() or not path.exists()
    require(fits, "--to", "a file, or the name of a new one", repr(flags.to))
    check_writable("--to", path, path.parent)
    return config, flags, path


@working("measuring")
def _measure(config: ConfigDict, flags: argparse.Namespace, path: Path) -> None:
    space = build_space(config)
    _take_device(flags.device)
    compilation.keep_compiled_programs(config.compilation_cache)
    table = measure(space, Conditions(flags.batch, flags.dtype, config.seed))
    table.save(path)
    say("\n".join(table.lines()))
    say(f"written: {path}")


def _take_device(kind: str | None) -> None:
    """Let JAX compute on this kind of device.

    Raises:
      InputError: there is none, or JAX computes on another one already.
    """
    if kind == "cpu":  # where there is another device, JAX does not take it by itself
        jax.config.update("jax_platforms", kind)
    device_count()
    found = jax.default_backend()
    require(kind in (None, found), "--device", f"{found}, which JAX takes here", kind)
