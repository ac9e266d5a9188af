"""Measure isometry and fairness, and compare them with the laws of theory.

    python -m benchmarks.isometry
    python -m benchmarks.isometry nas_bench_macro --data=cifar10.npz --seeds=5

A part is `singular_values`, those of every op of every space under every
initialisation; `stability`, the spread of trainings over seeds; or the name of a chain
space, in whose supernet signal, gradient and gamma gradients are measured through
depth. Without a part, all of `DEFAULT_PARTS` are measured. Earlier results of parts
that are not measured now are kept. Writes `isometry.json`, `ISOMETRY.md`,
`isometry.png` and three CSV files; a part takes minutes on one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.isometry import outputs
from benchmarks.isometry.spectra import spectra
from benchmarks.isometry.stability import SEEDS, STABILITY, stability
from benchmarks.isometry.supernets import Setting, supernet, training_images
from benchmarks.isometry.tables import SINGULAR_VALUES
from benchmarks.provenance import provenance
from difnas_jax.errors import InputError
from difnas_jax.runtime import compilation
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.spaces import SPACES, build
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS

OTHER_PARTS = (SINGULAR_VALUES, STABILITY)  # those that are no supernet of a space
DEFAULT_PARTS = (*OTHER_PARTS, "nas_bench_macro", "mbv2")
MOST_INPUTS = 8192  # of an op: the Jacobian has the square of it


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables and write all files.

    Returns:
      The exit code, one of those of `runtime.shutdown`.
    """
    return exit_code(lambda: _measure(_flags(argv), argv))


def _measure(flags: argparse.Namespace, argv: Sequence[str] | None) -> None:
    setting = _setting(flags)
    parts = flags.parts or DEFAULT_PARTS
    supernets = [part for part in parts if part not in OTHER_PARTS]
    images = training_images(setting) if supernets else None
    results = outputs.load(flags.output)
    arguments = sys.argv[1:] if argv is None else argv
    command = " ".join(["python -m benchmarks.isometry", *arguments])
    compilation.keep_compiled_programs("auto")
    for part in parts:
        seeds: Sequence[int] = setting.seeds
        if part == STABILITY:
            seeds, settings = range(SEEDS), {"updates": flags.training_updates}
            rows = stability(flags.training_updates, say)
        elif images is None or part == SINGULAR_VALUES:
            settings: dict[str, Any] = {"channels": flags.channels, "side": flags.side}
            rows = spectra(flags.channels, flags.side, setting.seeds, say)
        else:
            settings = dataclasses.asdict(setting)
            settings["data"] = Path(setting.data).name or "digits"
            rows = supernet(part, images, setting, say)
        source = provenance(command, list(seeds))
        results[part] = {**source, "settings": settings, "rows": rows}
        outputs.write(flags.output, results)
    say((flags.output / outputs.PAGE).read_text())
    say(f"written: {flags.output}")


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="python -m benchmarks.isometry",
        description="Singular values, signal, gradients and fairness.",
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"default: {' '.join(DEFAULT_PARTS)}")
    add("--output", type=Path, default=Path("runs/isometry"), metavar="FOLDER")
    add("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N - 1")
    add("--channels", type=int, default=24, metavar="N", help="into an op")
    add("--side", type=int, default=6, metavar="N", help="pixels into an op")
    add("--data", default="", metavar="FILE", help=".npz of images; default: digits")
    add("--layer-indicators", default="candidate,parallel,off", metavar="NAME,...")
    add("--image-size", type=int, default=32, metavar="N", help="of the supernets")
    add("--batch-size", type=int, default=32, metavar="N", help="of the supernets")
    add("--draws", type=int, default=6, metavar="N", help="fair sets of paths")
    add("--updates", type=int, default=0, metavar="N", help="before measuring")
    add("--learning-rate", type=float, default=16.0, help="at 512 images")
    add("--training-updates", type=int, default=200, metavar="N", help="of stability")
    return parser.parse_args(argv)


def _setting(flags: argparse.Namespace) -> Setting:
    """The setting of the supernets.

    Raises:
      InputError: anything that the flags do not allow.
    """
    for part in flags.parts:
        if part not in OTHER_PARTS and not _is_chain(part):
            known = ", ".join([*OTHER_PARTS, *filter(_is_chain, SPACES)])
            raise InputError(f"part: expected one of {known}; got {part!r}")
    smallest = {"seeds": 1, "channels": 2, "side": 2, "image_size": 1}
    smallest |= {"batch_size": 2, "draws": 1, "updates": 0}
    smallest |= {"training_updates": 40}
    for name, least in smallest.items():
        if getattr(flags, name) < least:
            flag = "--" + name.replace("_", "-")
            raise InputError(
                f"{flag}: expected at least {least}, got {getattr(flags, name)}"
            )
    widest = 2 * flags.channels * flags.side**2
    if widest > MOST_INPUTS:
        raise InputError(
            f"--channels, --side: expected at most {MOST_INPUTS} inputs of an op, "
            f"2 x channels x side x side, got {widest}"
        )
    indicators = tuple(flags.layer_indicators.split(","))
    for name in indicators:
        if name not in LAYER_INDICATORS:
            known = ", ".join(LAYER_INDICATORS)
            raise InputError(
                f"--layer-indicators: expected some of {known}; got {name!r}"
            )
    return Setting(
        data=flags.data,
        layer_indicators=indicators,
        seeds=tuple(range(flags.seeds)),
        image_size=flags.image_size,
        batch_size=flags.batch_size,
        draws=flags.draws,
        updates=flags.updates,
        learning_rate=flags.learning_rate,
    )


def _is_chain(name: str) -> bool:
    return name in SPACES and isinstance(
        build(name, image_size=32, image_channels=3, num_classes=2), ChainSpace
    )
