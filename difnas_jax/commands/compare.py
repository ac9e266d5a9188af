"""Methods side by side, each from the data to a retrained network.

    python -m difnas_jax compare --workdir=runs/compare --seeds=0,1,2 \
        digits spos:digits

A method is a config, by name or file; flags `--config.FIELD=VALUE` apply to all. Every
(method, seed) is a run of its own below the workdir, and the same command resumes an
interrupted comparison. Writes `comparison.md`, `comparison.csv` and `comparison.json`.
"""

import argparse
import csv
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax import checks, pipeline
from difnas_jax.config.files import load_config, override_by_flags
from difnas_jax.errors import InputError, TrainingError, require
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.processes import is_main_process
from difnas_jax.runtime.shutdown import Parser, exit_code

TRAINING = ("supernet", "indicator")
# Number of a row -> its format and its title in the table.
NUMBERS = {
    "macs": ("{:,.0f}", "MACs"),
    "params": ("{:,.0f}", "parameters"),
    "score": ("{:.5g}", "score"),
    "test_accuracy": ("{:.2%}", "test accuracy"),
    "seconds": ("{:.1f}", "search [s]"),
    "images": ("{:,.0f}", "search [images]"),
}
NETWORK = ("macs", "params", "score", "test_accuracy")
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run every method with every seed and print the table.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    return exit_code(lambda: _compare(argv))


def _compare(argv: Sequence[str] | None) -> None:
    names, seeds, workdir, flags = parse_flags(argv)
    pairs = [(name, seed) for name in names for seed in seeds]
    configs = [_checked_config(name, seed, flags) for name, seed in pairs]
    rows, failed = [], []
    for (name, seed), config in zip(pairs, configs, strict=True):
        label, folder = _label(name), workdir / f"{_label(name)}-seed{seed}"
        say(f"== {label}, seed {seed}: {folder}")
        row: Row = {"method": label, "seed": seed, "architecture": "failed"}
        rows.append(row | dict.fromkeys(NUMBERS))
        try:
            rows[-1] |= measured(config, folder)
        except (InputError, TrainingError) as error:
            say(f"failed: {error}")
            failed.append(folder)
    lines = table(rows)
    if is_main_process():
        write(workdir, rows, lines)
    say("\n".join(lines))
    if failed:
        raise TrainingError(f"failed: {', '.join(map(str, failed))}; see above")


def parse_flags(
    argv: Sequence[str] | None,
) -> tuple[list[str], list[int], Path, list[str]]:
    """Config names, seeds, workdir, and overrides for all configs.

    Raises:
      InputError: two configs with the same file name, or invalid seeds.
    """
    parser = Parser(
        prog="python -m difnas_jax compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("configs", nargs="+", metavar="NAME[:ARGUMENTS]")
    parser.add_argument("--seeds", default="0", metavar="N,N,...")
    parser.add_argument("--workdir", required=True, metavar="FOLDER", type=Path)
    known, flags = parser.parse_known_intermixed_args(argv)
    labels = [_label(name) for name in known.configs]
    fits = len(set(labels)) == len(labels)
    require(fits, "configs", "files of different names", ", ".join(labels))
    seeds = parse_seeds(known.seeds)
    if any(flag.startswith("--config.seed=") for flag in flags):
        raise InputError("--config.seed: expected --seeds=N,N,... instead")
    return known.configs, seeds, known.workdir, flags


def parse_seeds(text: str) -> list[int]:
    """`0,1,2` as numbers.

    Raises:
      InputError: anything but different whole numbers.
    """
    parts = text.split(",")
    seeds = [int(part) for part in parts if part.isdecimal()]
    fits, expected = len(set(seeds)) == len(parts), "different whole numbers"
    require(fits, "--seeds", f"{expected} split by commas", repr(text))
    return seeds


def _label(name: str) -> str:
    return Path(name.partition(":")[0]).stem


def _checked_config(name: str, seed: int, flags: Sequence[str]) -> ConfigDict:
    config = load_config(name)
    override_by_flags(config, flags)
    config.seed = seed
    checks.check(config)
    return config


def measured(config: ConfigDict, workdir: Path) -> Row:
    """Run one method with one seed.

    Returns:
      `architecture` (in one line) and `NUMBERS`: the found network, its test accuracy
      (0 to 1), and the cost of finding it without the reference algorithms: wall
      seconds until retraining (for a supernet that was interrupted, those of its last
      session), and images that passed through a path.
    """
    results = pipeline.run(config, workdir)
    found = {name: getattr(results, name) for name in NETWORK}
    cost = search_cost(workdir, results.values["seconds"])
    return {"architecture": " ".join(results.ops or ()), **found, **cost}


def search_cost(workdir: Path, stages: Mapping[str, float]) -> Row:
    """`seconds` and `images` of training the supernet and of the chosen search.

    Args:
      workdir: of a finished run.
      stages: seconds of each stage.
    """
    images, path = 0, workdir / artifacts.SUPERNET_RESULT
    if path.exists():  # a score may do without a supernet
        images = files.read_json(path, ("images",))["images"]
    keys = ("chosen", "rows", "images")
    comparison = files.read_json(workdir / artifacts.COMPARISON, keys)
    rows = {row["algorithm"]: row for row in comparison["rows"]}
    chosen = rows[comparison["chosen"]]
    return {
        "seconds": chosen["seconds"] + sum(stages.get(s, 0.0) for s in TRAINING),
        "images": images + chosen["evaluated"] * comparison["images"],
    }


def table(rows: Sequence[Row]) -> list[str]:
    """A Markdown table of the rows, with mean and standard deviation of each method."""
    head = ["method", "seed", "architecture", *(title for _, title in NUMBERS.values())]
    lines = [_line(head), _line(["---"] * len(head))]
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        for row in own:
            numbers = (_shown(name, [row[name]]) for name in NUMBERS)
            lines.append(_line([method, row["seed"], row["architecture"], *numbers]))
        if len(own) > 1:
            spreads = (_shown(name, [row[name] for row in own]) for name in NUMBERS)
            lines.append(_line([method, "mean ± sd", f"{len(own)} seeds", *spreads]))
    return lines


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _shown(name: str, values: Sequence[Any]) -> str:
    """A number, or the mean and standard deviation of several."""
    if None in values:
        return "not run"
    several = len(values) > 1
    shown = [statistics.mean(values), statistics.stdev(values)] if several else values
    return " ± ".join(NUMBERS[name][0].format(number) for number in shown)


def write(workdir: Path, rows: Sequence[Row], lines: Sequence[str]) -> None:
    """Write the three files of the comparison."""
    files.write_json(workdir / "comparison.json", {"rows": list(rows)})
    with files.atomic_write(workdir / "comparison.md") as file:
        file.writelines(f"{line}\n" for line in lines)
    with files.atomic_write(workdir / "comparison.csv") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
