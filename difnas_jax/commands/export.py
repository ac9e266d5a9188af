"""Write the network of a run for other programs: StableHLO, PyTorch, ONNX.

    difnas-jax export runs/demo --to model
    difnas-jax export runs/demo --to model --formats=stablehlo,onnx --fold

Writes a file for each form and `model_card.md`, which says what the network does, how
good it is, and how to use each file. Every form takes pixels from 0 to 255; it is read
back and compared with the network. Needs neither the data nor the config file of the
run, and changes nothing in it.
"""

import argparse
from collections.abc import Sequence

from difnas_jax import loading
from difnas_jax.config import default
from difnas_jax.deployment.exporters import (
    EXPORTERS,
    check_formats,
    check_target,
    export,
)
from difnas_jax.runtime.given_paths import given_path
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Write the network of a run for other programs.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    return exit_code(lambda: _export(parse_arguments(argv)))


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments.

    Raises:
      InputError: a value that cannot be.
    """
    parser = Parser("difnas-jax export", __doc__)
    loading.add_arguments(parser)
    text = "the name of a folder that is made"
    parser.add_argument("--to", required=True, metavar="DIR", help=text)
    usual = ",".join(default().export.formats)
    text = f"of {', '.join(EXPORTERS)}, separated by commas ({usual})"
    parser.add_argument("--formats", default=usual, metavar="NAMES", help=text)
    text = "fold batch norms into the convolutions before them"
    parser.add_argument("--fold", action="store_true", help=text)
    known = parser.parse_args(argv)
    known.to, known.formats = given_path("--to", known.to), known.formats.split(",")
    return known


def _export(flags: argparse.Namespace) -> None:
    check_formats("--formats", flags.formats)
    check_target("--to", flags.to)
    network = loading.load(flags.run, search=flags.search, rank=flags.rank)
    export(network, flags.to, flags.formats, flags.fold)
    written = ", ".join(sorted(path.name for path in flags.to.iterdir()))
    say(f"export: {flags.to} has {written}")
