"""Classify images with the network of a run.

    difnas-jax predict runs/demo three.png seven.png
    difnas-jax predict runs/demo photos/*.jpg --top=3 --search=small

Prints a line for each file: its likeliest classes with their probabilities. Needs
neither the data nor the config file of the run, and changes nothing in it.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from difnas_jax import loading
from difnas_jax.deployment.network import AT_ONCE
from difnas_jax.errors import require
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Print what the network says of each file.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    return exit_code(lambda: _predict(parse_arguments(argv)))


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments.

    Raises:
      InputError: a value that cannot be.
    """
    layout = argparse.RawDescriptionHelpFormatter
    program = "difnas-jax predict"
    parser = Parser(program, description=__doc__, formatter_class=layout)
    loading.add_arguments(parser)
    parser.add_argument("files", metavar="FILE", nargs="+", help="an image")
    text = "how many classes to print (1)"
    parser.add_argument("--top", type=int, default=1, metavar="N", help=text)
    known = parser.parse_args(argv)
    require(known.top >= 1, "--top", "1 or more", known.top)
    return known


def _predict(flags: argparse.Namespace) -> None:
    network = loading.load(flags.run, search=flags.search, rank=flags.rank)
    names = network.preprocessing.classes
    for start in range(0, len(flags.files), AT_ONCE):
        part = flags.files[start : start + AT_ONCE]
        for file, shares in zip(part, network.predict(part).probabilities, strict=True):
            likeliest = np.argsort(-shares, kind="stable")[: flags.top]
            found = [f"{names[label]} {shares[label]:.2%}" for label in likeliest]
            say(f"{file}: {', '.join(found)}")
