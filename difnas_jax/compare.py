"""Methods side by side, each the whole way from data to a retrained network.

    python -m difnas_jax.compare --workdir=runs/compare --seeds=0,1,2 \
        configs/digits.py configs/baselines/spos.py:digits

A method is a config file; flags `--config.FIELD=VALUE` hold for all. Every (method,
seed) is a run of its own below the workdir, and the same command continues what was
stopped. Writes `comparison.md`, `comparison.csv` and `comparison.json`.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax import artifacts, checks, files, pipeline, runtime
from difnas_jax.config_files import load_config
from difnas_jax.distributed import is_main_process
from difnas_jax.errors import InputError
from difnas_jax.main import exit_code
from difnas_jax.overrides import override_by_flags
from difnas_jax.writer import say

SEARCH_STAGES = ("supernet", "indicator", "search")
NUMBERS = ("macs", "params", "score", "test_accuracy", "seconds", "images")
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run every method with every seed and print the table.

    Returns:
      The exit code, as that of `difnas_jax.main`.
    """
    return exit_code(lambda: _compare(argv))


def _compare(argv: Sequence[str] | None) -> None:
    names, seeds, workdir, flags = parse_flags(argv)
    runs = [
        (name, seed, _config(name, seed, flags)) for name in names for seed in seeds
    ]
    for _, _, config in runs:
        checks.check(config)
    rows = []
    for name, seed, config in runs:
        folder = workdir / f"{_label(name)}-seed{seed}"
        say(f"== {_label(name)}, seed {seed}: {folder}")
        rows.append(measured(_label(name), config, folder))
    lines = table(rows)
    if is_main_process():
        write(workdir, rows, lines)
    say("\n".join(lines))


def parse_flags(
    argv: Sequence[str] | None,
) -> tuple[list[str], list[int], Path, list[str]]:
    """Config names, seeds, workdir, and overrides for all configs.

    Raises:
      InputError: two configs of one label, or seeds that are no numbers.
    """
    parser = argparse.ArgumentParser(
        prog="python -m difnas_jax.compare",
        description="Several methods, several seeds, one table.",
        allow_abbrev=False,
    )
    parser.add_argument("configs", nargs="+", metavar="FILE[:ARGUMENTS]")
    parser.add_argument("--seeds", default="0", metavar="N,N,...")
    parser.add_argument("--workdir", required=True, metavar="FOLDER", type=Path)
    known, flags = parser.parse_known_intermixed_args(argv)
    labels = [_label(name) for name in known.configs]
    if len(set(labels)) < len(labels):
        raise InputError(
            f"configs: expected files of different names, got {', '.join(labels)}"
        )
    words = known.seeds.split(",")
    if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
        raise InputError(
            f"--seeds: expected different whole numbers split by commas, got "
            f"{known.seeds!r}"
        )
    return known.configs, [int(word) for word in words], known.workdir, flags


def _label(name: str) -> str:
    return Path(name.partition(":")[0]).stem


def _config(name: str, seed: int, flags: Sequence[str]) -> ConfigDict:
    config = load_config(name)
    override_by_flags(config, flags)
    config.seed = seed
    return config


def measured(method: str, config: ConfigDict, workdir: Path) -> Row:
    """Run one method with one seed.

    Returns:
      `method`, `seed`, `architecture` (op names) and `NUMBERS`: the found network,
      its test accuracy (0 to 1), and the cost of finding it: wall seconds of the stages
      before retraining, and images that passed through a path.
    """
    results = pipeline.run(config, workdir)
    seconds = results.values["seconds"]
    return {
        "method": method,
        "seed": config.seed,
        "architecture": " ".join(results.ops or ()),
        **{name: getattr(results, name) for name in NUMBERS[:4]},
        "seconds": sum(seconds.get(stage, 0.0) for stage in SEARCH_STAGES),
        "images": search_images(workdir),
    }


def search_images(workdir: Path) -> int:
    """Images that passed through a path in training the supernet and in the search."""
    trained = files.read_json(workdir / artifacts.TRAINED, ("images",))
    comparison = files.read_json(
        workdir / artifacts.COMPARISON, ("chosen", "rows", "images")
    )
    evaluated = sum(
        row["evaluated"]
        for row in comparison["rows"]
        if row["algorithm"] == comparison["chosen"]
    )
    return trained["images"] + evaluated * comparison["images"]


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as a table in Markdown, and under each method its mean and spread."""
    head = (
        *("method", "seed", "architecture", "MACs", "parameters", "score"),
        *("test accuracy [%]", "search [s]", "search [images]"),
    )
    lines = [_line(head), _line(["---"] * len(head))]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        for row in own:
            numbers = (_shown(name, row[name]) for name in NUMBERS)
            lines.append(_line([method, row["seed"], row["architecture"], *numbers]))
        if len(own) > 1:
            spreads = (_spread(name, [row[name] for row in own]) for name in NUMBERS)
            lines.append(_line([method, "mean ± sd", f"{len(own)} seeds", *spreads]))
    return lines


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "not run"
    form = {"score": ".5g", "test_accuracy": ".2f", "seconds": ".1f"}.get(name, ",.0f")
    return format(100 * value if name == "test_accuracy" else value, form)


def _spread(name: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "not run"
    mean, spread = statistics.mean(known), statistics.stdev(known)
    return f"{_shown(name, mean)} ± {_shown(name, spread)}"


def write(workdir: Path, rows: Sequence[Row], lines: Sequence[str]) -> None:
    """The three files."""
    files.write_json(workdir / "comparison.json", {"rows": list(rows)})
    with files.atomic_write(workdir / "comparison.md") as file:
        file.writelines(f"{line}\n" for line in lines)
    with files.atomic_write(workdir / "comparison.csv") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    runtime.restart_with_huge_pages()
    sys.exit(main())
