"""Does a score find better networks? Measured against NAS-Bench-Macro.

Train the supernet of a method on CIFAR-10 and compare its score with the table:

    python -m benchmarks.nas_bench_macro --data=cifar10.npz \
        --table=nas-bench-macro_cifar10.json --method=dinas --updates=1000 --seeds=0,1,2

or compare a stored indicator:

    python -m benchmarks.nas_bench_macro --indicator=indicator.npz \
        --table=nas-bench-macro_cifar10.json

A method is a file of `configs/baselines/`, or `default` for the product as it is; any
field of its config is a flag, `--config.method.score=sum`. Trainings are kept below
`--workdir` and continued or reused by the same command. Accuracies of the table come
from the test set of CIFAR-10; the supernet sees the training set only, less a tenth
held out for validation.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from benchmarks import ranking, report
from benchmarks.macro_table import MacroTable, load_table
from benchmarks.ranking_figures import scatter
from difnas_jax import artifacts, checks, files, pipeline, runtime
from difnas_jax.artifacts import Indicator
from difnas_jax.compare import parse_seeds
from difnas_jax.config import build_wiring, default
from difnas_jax.config_files import load_config
from difnas_jax.errors import InputError
from difnas_jax.figures import indicator_heat_map, png
from difnas_jax.main import default_workdir, exit_code
from difnas_jax.overrides import override_by_flags
from difnas_jax.search.placement import best_placed
from difnas_jax.search.scores import SCORES, path_scores
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.stages.scorers import SCORERS, is_additive
from difnas_jax.writer import say

CONFIGS = Path(__file__).parents[1] / "configs"
EXPERIMENT = "nas_bench_macro"
DEFAULT = "default"
MODULE = "python -m benchmarks.nas_bench_macro"


@dataclasses.dataclass(frozen=True)
class Scored:
    """The networks of a table as one trained supernet scores them.

    Attributes:
      scores: float64[N].
      table: float64[L, O] that the score sums, or None where it is no sum.
      seconds: of training and scoring, by part.
      images: passed through a path in training and in scoring.
    """

    scores: np.ndarray
    table: np.ndarray | None
    seconds: dict[str, float]
    images: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code, as that of `difnas_jax.main`."""
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> None:
    flags, words = parse_flags(argv)
    table = load_table(flags.table)
    if flags.indicator:
        name, space, table, scored, extra = _stored(flags, words, table)
    else:
        name, space, table, scored, extra = _trained(flags, words, table)
    if len(table.once()) < 2:
        raise InputError(
            f"--table: expected two networks that the method can find, {flags.table} "
            f"has {len(table.once())}"
        )
    words = argv if argv is not None else sys.argv[1:]
    result = {
        **{
            "command": " ".join([MODULE, *words]),
            "name": name,
            "table": flags.table.name,
        },
        **extra,
        **ranking.evaluation(np.stack([one.scores for one in scored]), table),
        "baselines": _baselines(table),
        **{"machine": report.machine(), "versions": artifacts.versions()},
    }
    folder = flags.output or Path("runs") / EXPERIMENT / f"result-{name}"
    write(folder, result, table, scored, space)
    say("\n".join([*lines(result), f"written: {folder}", json.dumps(result)]))


def parse_flags(
    argv: Sequence[str] | None,
) -> tuple[argparse.Namespace, list[str]]:
    """The flags, and those that override fields of the config.

    Raises:
      InputError: neither or both of `--data` and `--indicator`.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.nas_bench_macro",
        description="A method, or a stored indicator, against NAS-Bench-Macro.",
        epilog="Fields of the config are flags too: --config.supernet.batch_size=128.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--table", type=Path, required=True, metavar="FILE", help="published JSON")
    add("--data", metavar="FILE", help="CIFAR-10, an .npz file as `arrays` reads it")
    add("--indicator", type=Path, metavar="FILE", help="indicator.npz to evaluate")
    add("--method", default=DEFAULT, help=f"one of {', '.join(methods())}")
    add("--updates", type=int, default=1000, help="of the supernet")
    add("--size", type=int, default=32, help="side of the images in pixels")
    add("--seeds", default="0", metavar="N,N,...")
    add("--networks", type=int, default=0, metavar="N", help="random so many; 0: all")
    add("--workdir", type=Path, default=Path("runs") / EXPERIMENT, metavar="FOLDER")
    add("--output", type=Path, metavar="FOLDER")
    flags, words = parser.parse_known_args(argv)
    if bool(flags.data) == bool(flags.indicator):
        raise InputError(
            "--data, --indicator: expected one of them, a data set to train on or a "
            f"stored indicator; got {'both' if flags.data else 'neither'}"
        )
    if flags.networks < 0 or flags.networks == 1:
        raise InputError(f"--networks: expected 0 or 2 and more, got {flags.networks}")
    return flags, words


def methods() -> list[str]:
    """The names that `--method` knows."""
    rows = (CONFIGS / "baselines").glob("*.py")
    return [DEFAULT, *sorted(path.stem for path in rows)]


def method_config(flags: argparse.Namespace, words: Sequence[str]) -> ConfigDict:
    """The config of a method on this benchmark.

    Raises:
      InputError: an unknown method, or a field that does not fit.
    """
    if flags.method not in methods():
        raise InputError(
            f"--method: expected one of {', '.join(methods())}; got {flags.method!r}"
        )
    size = f"size={flags.size}"
    name = f"{CONFIGS / EXPERIMENT}.py:{size}"
    if flags.method != DEFAULT:
        name = f"{CONFIGS / 'baselines' / flags.method}.py:{EXPERIMENT},{size}"
    config = load_config(name)
    config.data.path = flags.data
    config.supernet.update(epochs=0.0, steps=flags.updates)
    override_by_flags(config, words)
    config.stages = ("supernet", "indicator") if is_additive(config) else ("supernet",)
    return config


def _trained(
    flags: argparse.Namespace, words: list[str], table: MacroTable
) -> tuple[str, SearchSpace, MacroTable, list[Scored], dict[str, Any]]:
    """Train a supernet for each seed and score the table with each."""
    config = method_config(flags, words)
    space = build_wiring(config).searched
    table = _part(table, space, flags.networks)
    scored = []
    for seed in parse_seeds(flags.seeds):
        config.seed = seed
        checks.check(config)
        folder = flags.workdir / default_workdir(flags.method, config).name
        say(f"== {flags.method}, seed {seed}: {folder}")
        pipeline.run(config, folder)
        scored.append(_scored(config, folder, table, space))
    extra = {
        "method": config.method.to_dict(),
        "supernet": config.supernet.to_dict(),
        "data": {
            "file": Path(flags.data).name,
            "image_size": flags.size,
            "validation": f"{config.data.validation_fraction:g} of train",
        },
        "training_seeds": parse_seeds(flags.seeds),
        "seconds": [one.seconds for one in scored],
        "images": [one.images for one in scored],
    }
    words = [word.removeprefix("--config.") for word in words]
    parts = [flags.method, str(flags.updates), f"{flags.size}px", *words]
    return "-".join(parts).replace("/", "_"), space, table, scored, extra


def _scored(
    config: ConfigDict, folder: Path, table: MacroTable, space: SearchSpace
) -> Scored:
    start = time.monotonic()
    scorer = SCORERS[config.method.score](config, folder, space)
    networks, places = np.unique(table.network, return_inverse=True)
    first = np.unique(table.network, return_index=True)[1]
    architectures = space.canonical(table.architectures[first])
    if scorer.table is not None:
        architectures = best_placed(architectures, scorer.table, space)
    scores = scorer.score(architectures)[places]
    seconds = {"scoring": time.monotonic() - start}
    for stage in config.stages:
        marker = files.read_json(folder / "stages" / f"{stage}.json", ("seconds",))
        seconds[stage] = marker["seconds"]
    images = files.read_json(folder / artifacts.TRAINED, ("images",))["images"]
    total = images + scorer.images * len(networks)
    return Scored(scores, scorer.table, seconds, total)


def _stored(
    flags: argparse.Namespace, words: list[str], table: MacroTable
) -> tuple[str, SearchSpace, MacroTable, list[Scored], dict[str, Any]]:
    """Score the table with a stored indicator."""
    config = default()
    config.space.update(name=EXPERIMENT, image_size=32, num_classes=10)
    indicator = Indicator.load(flags.indicator, build_wiring(config).searched)
    method = indicator.provenance.get("method", {})
    config.method.update({k: v for k, v in method.items() if k in config.method})
    override_by_flags(config, words)
    if config.method.score not in SCORES:
        raise InputError(
            f"method.score: expected one of {', '.join(SCORES)} for an indicator, got "
            f"{config.method.score!r}; add --config.method.score=sum"
        )
    space = build_wiring(config).searched
    table = _part(table, space, flags.networks)
    values = SCORES[config.method.score](indicator.table, space)
    scores = path_scores(values, best_placed(table.architectures, values, space))
    known = np.isfinite(scores)
    checksum = zlib.crc32(flags.indicator.read_bytes())
    extra = {"indicator": flags.indicator.name, "method": config.method.to_dict()}
    extra["provenance"] = indicator.provenance
    scored = Scored(scores[known], values, {}, 0)
    return f"indicator-{checksum:08x}", space, table[known], [scored], extra


def _part(table: MacroTable, space: SearchSpace, networks: int) -> MacroTable:
    """The names that the space allows, of so many networks drawn at random."""
    layers = np.arange(space.num_layers)
    table = table[space.allowed[layers, table.architectures].all(1)]
    numbers = np.unique(table.network)
    if 0 < networks < len(numbers):
        numbers = np.random.default_rng(0).choice(numbers, networks, replace=False)
    return table[np.isin(table.network, numbers)]


def _baselines(table: MacroTable) -> dict[str, Any]:
    networks = table.once()
    rows = {}
    for name, scores in ranking.baselines(networks).items():
        row = ranking.correlations(scores, networks)
        rows[name] = {**row, "regret": ranking.regrets(scores, networks)}
    return rows


def lines(result: dict[str, Any]) -> list[str]:
    """The result as a table to read."""
    head = f"{'score':<28} {'n':>5} {'tau-b':>6} {'95 %':>14} {'rho':>6} {'w-tau':>6}"
    rows = {"networks": result, "names": result["strings"]}
    rows["networks without identity"] = result["no_identity"]
    for band in result["macs_bands"]:
        rows[f"{band['above']} to {band['up_to']} M MACs"] = band
    rows |= {f"baseline: {name}": row for name, row in result["baselines"].items()}
    shown = [_line(name, row) for name, row in rows.items()]
    for row in result["regret"]:
        budget = "any" if row["budget"] is None else f"{row['budget'] // 10**6} M"
        shown.append(
            f"best under {budget} MACs: {', '.join(row['found'])}, regret "
            f"{row['regret']:.2f} (the table's best: {row['best']}, "
            f"{row['best_accuracy']:.2f} %)"
        )
    return [head, *shown]


def _line(name: str, row: dict[str, Any]) -> str:
    interval = row["tau_b_interval"]
    between = "" if interval is None else "{:.3f} to {:.3f}".format(*interval)
    numbers = [row[key] for key in ranking.STATISTICS]
    tau, rho, weighted = ("" if x is None else f"{x:.3f}" for x in numbers)
    return f"{name:<28} {row['n']:>5} {tau:>6} {between:>14} {rho:>6} {weighted:>6}"


def write(
    folder: Path,
    result: dict[str, Any],
    table: MacroTable,
    scored: Sequence[Scored],
    space: SearchSpace,
) -> None:
    """Write `result.json`, `scores.csv`, `scatter.png` and, of a sum, `scores.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "result.json", result)
    with files.atomic_write(folder / "scores.csv") as file:
        rows = csv.writer(file, lineterminator="\n")
        seeds = [f"score_{number}" for number in range(len(scored))]
        rows.writerow(("architecture", "network", "accuracy", "macs", "params", *seeds))
        scores = np.stack([one.scores for one in scored], axis=1)
        columns = table.network, table.accuracies, table.macs, table.params
        for name, *numbers, row in zip(table.names, *columns, scores, strict=True):
            rows.writerow((name, *(n.item() for n in numbers), *row.tolist()))
    networks = np.unique(table.network, return_index=True)[1]
    tau = result["tau_b"]
    title = f"{result['name']}: " + ("no tau" if tau is None else f"tau-b {tau:.3f}")
    pictures = {"scatter": scatter(scores[networks].mean(1), table[networks], title)}
    tables = [one.table for one in scored if one.table is not None]
    if tables:
        pictures["scores"] = indicator_heat_map(
            np.mean(tables, axis=0), space, label="score"
        )
    for name, figure in pictures.items():
        with files.atomic_write(folder / f"{name}.png", "wb") as file:
            file.write(png(figure))


if __name__ == "__main__":
    runtime.restart_with_huge_pages()
    sys.exit(main())
