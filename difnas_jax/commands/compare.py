"""Methods side by side, each from the data to a retrained network.

    difnas-jax compare --workdir=runs/compare --seeds=0,1 digits spos:digits

A method is a config, by name or file; flags `--config.FIELD=VALUE` apply to all. Every
(method, seed) is a run of its own below the workdir, and the same command resumes an
interrupted comparison. Writes `comparison.md`, `comparison.csv` and `comparison.json`.

The numbers of a row, by their titles:
  MACs, parameters, score, top-1, top-5
      of the found network, after retraining on the test split
  epochs
      of the supernet; one is every training image once through one path, so that an
      update of K paths on the same batch counts as K batches
  search [s], search [device-days], search [images]
      of supernet, indicator and search: wall seconds; these times devices / 86,400;
      images x paths
  update [ms], path [ms]
      one update of the supernet (forward, backward, optimizer) on one device, for
      --update-batch images of noise; this by its K paths; once for each method

A method whose data are missing is timed all the same; other cells read "not run". "-"
is a number that a run does not have. Exit code 1: a run failed, or a method got none.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import jax
from ml_collections import ConfigDict

from difnas_jax import checks, pipeline
from difnas_jax.config.build import build_wiring
from difnas_jax.config.files import load_config, override_by_flags
from difnas_jax.errors import InputError, TrainingError, require
from difnas_jax.report.comparison import (
    NOT_RUN,
    NUMBERS,
    Row,
    search_cost,
    table,
    write,
)
from difnas_jax.runtime import compilation, files
from difnas_jax.runtime.given_paths import given_path
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.processes import is_main_process
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.training.timing import time_update

FAILED = "failed"
NETWORK = ("macs", "params", "score", "test_accuracy", "test_top5_accuracy")


def main(argv: Sequence[str] | None = None) -> int:
    """Run every method with every seed and print the table.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    return exit_code(lambda: _compare(argv))


def _compare(argv: Sequence[str] | None) -> None:
    known, flags = parse_flags(argv)
    methods = {
        _label(name): [_checked_config(name, seed, flags) for seed in known.seeds]
        for name in known.configs
    }
    for first, *_ in methods.values() if known.update_batch else ():
        with_batch(first, known.update_batch)
    if is_main_process():
        files.make_folder(known.workdir)
    compilation.suggest_kept_memory()
    rows = []
    for label, configs in methods.items():
        rows += rows_of(label, configs, known.workdir, known.update_batch)
    images = f"; updates of {known.update_batch} images" if known.update_batch else ""
    device = f"{jax.devices()[0].device_kind}, jax {jax.__version__}"
    lines = [f"device: {device}{images}", "", *table(rows)]
    if is_main_process():
        write(known.workdir, rows, lines)
    say("\n".join(lines))
    failed = [f"{row['method']}, seed {row['seed']}" for row in rows if has_failed(row)]
    if failed:
        raise TrainingError(f"failed: {'; '.join(failed)}; see above")


def parse_flags(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """`configs`, `seeds`, `workdir`, `update_batch`; and overrides for all configs.

    Raises:
      InputError: a config given twice, or invalid numbers.
    """
    parser = Parser("difnas-jax compare", __doc__)
    add = parser.add_argument
    add("configs", nargs="+", metavar="NAME[:ARGUMENTS]")
    add("--seeds", default="0", metavar="N,N,...")
    add("--workdir", required=True, metavar="FOLDER")
    add("--update-batch", default=32, metavar="N", type=int, help="0: none is timed")
    known, flags = parser.parse_known_intermixed_args(argv)
    known.workdir = given_path("--workdir", known.workdir)
    labels = [_label(name) for name in known.configs]
    fits = len(set(labels)) == len(labels)
    require(fits, "configs", "different ones", " ".join(labels))
    known.seeds = parse_seeds(known.seeds)
    require(known.update_batch >= 0, "--update-batch", "0 or more", known.update_batch)
    if any(flag.startswith("--config.seed=") for flag in flags):
        raise InputError("--config.seed: expected --seeds=N,N,... instead")
    return known, flags


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
    """`spos:digits` of `configs/baselines/spos.py:digits`."""
    file, colon, arguments = name.partition(":")
    return Path(file).stem + colon + arguments


def _checked_config(name: str, seed: int, flags: Sequence[str]) -> ConfigDict:
    config = load_config(name)
    override_by_flags(config, flags)
    config.seed = seed
    checks.check(config)
    return config


def with_batch(config: ConfigDict, batch_size: int) -> ConfigDict:
    """The config with so many images in an update of its supernet.

    Raises:
      InputError: the paths of an update cannot share them.
    """
    config = config.copy_and_resolve_references()
    config.supernet.batch_size = batch_size
    try:
        checks.check_paths(config, build_wiring(config).sampled)
    except InputError as error:
        raise InputError(f"--update-batch={batch_size}: {error}") from error
    return config


def rows_of(
    label: str, configs: Sequence[ConfigDict], workdir: Path, update_batch: int
) -> list[Row]:
    """The rows of a method, one for each seed.

    Args:
      label: the name of the method.
      configs: with each seed.
      workdir: of the comparison.
      update_batch: images of a timed update; 0: none is timed.
    """
    rows, missing = [], missing_data(configs[0])
    times = timed(label, configs[0], update_batch)
    for config in configs:
        folder = workdir / re.sub(r"[^\w.]+", "-", f"{label} seed{config.seed}")
        say(f"== {label}, seed {config.seed}: {folder}")
        row: Row = {"method": label, "seed": config.seed, "architecture": NOT_RUN}
        row |= dict.fromkeys(NUMBERS) | times
        rows.append(row | ({} if missing else attempted(config, folder)))
        if missing:
            say(f"{NOT_RUN}: {missing}")
    return rows


def has_failed(row: Row) -> bool:
    """Whether a run failed, or nothing of its method could be measured."""
    timed_only = row["architecture"] == NOT_RUN and row["update_ms"] is not None
    return row["macs"] is None and not timed_only


def timed(label: str, config: ConfigDict, batch_size: int) -> Row:
    """`update_ms` and `path_ms`; empty for no images, and for no supernet."""
    if not batch_size or "supernet" not in config.stages:
        return {}
    compilation.keep_compiled_programs(config.compilation_cache)
    update = time_update(with_batch(config, batch_size))
    ms = update.milliseconds
    say(f"{label}: {ms:.1f} ms an update of {update.paths} path(s)")
    return {"update_ms": ms, "path_ms": ms / update.paths}


def missing_data(config: ConfigDict) -> str:
    """Why the data of a config cannot be read; empty where they can."""
    try:
        checks.check_data(config)
    except InputError as error:
        return str(error)
    return ""


def attempted(config: ConfigDict, workdir: Path) -> Row:
    """What `measured` returns, or that the run failed; the reason is printed."""
    try:
        return measured(config, workdir)
    except (InputError, TrainingError) as error:
        say(f"{FAILED}: {error}")
        return {"architecture": FAILED}


def measured(config: ConfigDict, workdir: Path) -> Row:
    """Run one method with one seed.

    Returns:
      `architecture` (in one line) and `NUMBERS` but the times of an update: the found
      network, its test accuracies (0 to 1), and the cost of finding it without the
      reference algorithms: wall seconds until retraining (for a supernet that was
      interrupted, those of its last session), and images that passed through a path.
    """
    results = pipeline.run(config, workdir)
    found = {name: getattr(results, name) for name in NETWORK}
    cost = search_cost(config, workdir, results.values["seconds"])
    return {"architecture": " ".join(results.ops or ()), **found, **cost}
