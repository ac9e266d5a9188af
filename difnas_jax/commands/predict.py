"""Classify images with the network of a run.

    difnas-jax predict runs/demo three.png seven.png
    difnas-jax predict runs/demo photos/*.jpg --top=3 --search=small

Prints a line for each file: its likeliest classes with their probabilities. A file that
cannot be read is named, the others are classified all the same, and the exit code is 2.
Needs neither the data nor the config file of the run, and changes nothing in it.
"""

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np

from difnas_jax import loading
from difnas_jax.deployment.network import AT_ONCE
from difnas_jax.deployment.predictions import Predictions
from difnas_jax.errors import InputError, require
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.output import show
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
    parser = Parser("difnas-jax predict", __doc__)
    loading.add_arguments(parser)
    parser.add_argument("files", metavar="FILE", nargs="+", help="an image")
    text = "how many classes to print (1)"
    parser.add_argument("--top", type=int, default=1, metavar="N", help=text)
    text = "print a line of JSON for each file"
    parser.add_argument("--json", action="store_true", help=text)
    known = parser.parse_args(argv)
    require(known.top >= 1, "--top", "1 or more", known.top)
    return known


def _predict(flags: argparse.Namespace) -> None:
    network = loading.load(flags.run, search=flags.search, rank=flags.rank)
    unreadable = 0
    for start in range(0, len(flags.files), AT_ONCE):
        names, squares = [], []
        for file in flags.files[start : start + AT_ONCE]:
            try:
                squares += list(network.preprocessing.pixels([file]))
                names.append(file)
            except InputError as error:
                show(f"error: {error}", sys.stderr)
                unreadable += 1
        if squares:
            logits = network.logits(np.stack(squares))
            found = Predictions(network.preprocessing.classes, logits)
            for file, top in zip(names, found.top(flags.top), strict=True):
                say(_line(file, top, flags.json))
    count = len(flags.files)
    require(
        not unreadable, "FILE", f"{count} images", f"{unreadable} that cannot be read"
    )


def _line(file: str, top: dict[str, float], as_json: bool) -> str:
    if as_json:
        return json.dumps({"file": file, "probabilities": top})
    return f"{file}: {', '.join(f'{name} {share:.2%}' for name, share in top.items())}"
