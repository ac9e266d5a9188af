r"""Training-free scores against a benchmark table of trained networks.

    difnas-jax rank nas_bench_201 --table=nb201.csv \
        --data=cifar10.npz --scores=nwot,jacov --combine sum_log_rank:jacov+params
    difnas-jax rank nas_bench_201 --table=nb201.csv --csv columns.csv

Writes a file of columns for each repeat, `columns-seed0.csv`, and then the ranking:
`ranking.md`, `.csv`, `.json` and `.html`, and `scores.csv` with the scores of every
architecture. The same command continues one that was stopped. With --csv nothing is
measured: the columns come from such files, one for each repeat, or from any CSV with
the column `index`.

A cell that is empty was not measured, and its architecture is left out; one that is not
a finite number ranks worst. Columns of unknown names are taken as larger is better.
Parameters, multiply-adds and live convolutions are counted and ranked beside them all.

--config.FIELD=VALUE changes the config of the space, with which networks and images are
drawn. --fit=N adds rankings that are fitted to the accuracies of N architectures; all
scores are then judged on the others. A fitted ranking is no training-free score.
"""

import argparse
import contextlib
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from difnas_jax import checks, usage
from difnas_jax.config import build
from difnas_jax.config.files import load_config, override_by_flags
from difnas_jax.errors import InputError, require
from difnas_jax.ranking.comparison import check_combination, check_fit, evaluations
from difnas_jax.ranking.tables import TABLES, BenchmarkTable
from difnas_jax.report import ranking
from difnas_jax.runtime import (
    compilation,
    failures,
    files,
    locks,
    processes,
    shutdown,
)
from difnas_jax.runtime.columns import check_settings
from difnas_jax.runtime.given_paths import given_path
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.progress import working
from difnas_jax.runtime.versions import versions
from difnas_jax.scoring.proxies import COLUMNS, counts
from difnas_jax.scoring.proxies.measurement import proxy_columns
from difnas_jax.scoring.reliability import doubts_about_columns
from difnas_jax.scoring.score_files import read_scores
from difnas_jax.scoring.sweep import Cost, costs_beside, sweep

SECTIONS = ("space", "data", "method")  # of the config, which change what is measured
# Fields of the config that are shown with a ranking.
SHOWN = (
    "data.source",
    "data.name",
    "data.path",
    "space.image_size",
    "method.proxy_kernels",
    "method.proxy_repeats",
)
COUNTED = *counts.COSTS.columns, *counts.STRUCTURE.columns
ARCHS = "all, N drawn ones, FROM:TO of the official numbers, or a file of these"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, rank and write.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    return shutdown.exit_code(lambda: _rank(argv))


def _rank(argv: Sequence[str] | None) -> None:
    flags, config = parse_flags(argv)
    processes.join_others(flags.distributed, flags.join_timeout)
    with failures.watch_for_failures(), contextlib.ExitStack() as held:
        if processes.is_main_process():  # it alone writes, and holds the workdir
            held.enter_context(locks.locked(flags.workdir))
        held.enter_context(shutdown.handle_signals())
        processes.on_all_processes(lambda: _work(flags, config))


@working("measuring")
def _work(flags: argparse.Namespace, config: ConfigDict) -> None:
    table = TABLES[flags.space](flags.table)
    table = table[chosen_rows(flags.archs, table)]
    check_fit(table, flags.fit, flags.seed)
    paths, costs = flags.csv, dict[str, Cost]()
    origin = {"columns": [path.name for path in paths or ()]}
    if not paths:
        checks.check(config)  # asks for the devices, after all processes have joined
        paths = measured(flags, config, table)
        costs = costs_beside(paths[-1])
        origin = {
            **build.flat(config, SHOWN),
            "device": "; ".join(sorted({cost.device for cost in costs.values()}))
            or "unknown",
        }
    if not processes.is_main_process():
        return
    scores, table = read_scores(paths, flags.scores, flags.combine, table)
    found = evaluations(table, scores, fit_to=flags.fit, seed=flags.seed)
    about = {
        "space": flags.space,
        "table": flags.table.name,
        **origin,
        "architectures": len(table),
        "fitted to": flags.fit,
        "seed": flags.seed,
        "repeats": len(paths),
        "versions": versions(),
        "warnings": "; ".join(doubts_about_columns(scores)) or "none",
    }
    seconds = {name: cost.numbers() for name, cost in costs.items()}
    results = ranking.Results(about, found, seconds)
    ranking.write(flags.workdir, results, table, scores)
    say("\n".join(results.lines()))


def parse_flags(
    argv: Sequence[str] | None,
) -> tuple[argparse.Namespace, ConfigDict]:
    """The flags, and the config of the networks to be measured.

    Raises:
      InputError: a flag or a value that is not allowed.
    """
    parser = shutdown.Parser("difnas-jax rank", __doc__)
    add = parser.add_argument
    add("space", choices=TABLES)
    add("--table", required=True, metavar="FILE", help="accuracies")
    add("--scores", default="", metavar="NAME,NAME,...", help=", ".join(COLUMNS))
    add("--combine", default=[], nargs="+", metavar="COMBINER:NAME+NAME", help="sums")
    add("--data", metavar="FILE", help="images; default: as the config says")
    add("--csv", nargs="+", metavar="FILE", help="nothing is measured")
    add("--archs", default="all", help=ARCHS)
    add("--repeats", default=1, metavar="N", type=int, help="with seeds that follow")
    add("--seed", default=0, metavar="N", type=int)
    add("--fit", default=0, metavar="N", type=int, help="architectures; 0: none")
    add("--workdir", required=True, metavar="FOLDER")
    usage.add_joining(parser)
    known, rest = parser.parse_known_args(argv)
    known.table = given_path("--table", known.table)
    known.workdir = given_path("--workdir", known.workdir)
    known.csv = [given_path("--csv", file) for file in known.csv or ()]
    known.scores = [*dict.fromkeys(filter(None, known.scores.split(",")))]
    for name, least in (("repeats", 1), ("seed", 0), ("fit", 0)):
        number = getattr(known, name)
        require(number >= least, f"--{name}", f"at least {least}", number)
    config = load_config(known.space)
    config.stages = ("report",)  # what only the others need is not asked for
    if known.data:
        config.data.source, config.data.path = "arrays", known.data
    override_by_flags(config, rest)
    fits, name = config.space.name == known.space, repr(config.space.name)
    require(fits, "--config.space.name", repr(known.space), name)
    if known.csv:
        repeats = known.repeats if known.repeats > 1 else 0
        given = {"--data": known.data, "--repeats": repeats, "--config": rest}
        for name, value in given.items():
            expected = "none beside --csv, with which nothing is measured"
            require(not value, name, expected, value)
    else:
        if any(flag.startswith("--config.seed=") for flag in rest):
            raise InputError("--config.seed: expected --seed=N instead")
        check_names(known.scores, known.combine)
    return known, config


def check_names(scores: Sequence[str], combinations: Sequence[str]) -> None:
    """Refuse names before anything is measured.

    Raises:
      InputError: no score, an unknown one, or one that is combined but not there.
    """
    require(bool(scores), "--scores", "names, or --csv", "nothing")
    for name in scores:
        known = f"some of {', '.join(COLUMNS)}"
        require(name in COLUMNS, "--scores", known, repr(name))
    for text in combinations:
        check_combination(text, dict.fromkeys((*COUNTED, *scores)))


def chosen_rows(text: str, table: BenchmarkTable) -> np.ndarray:
    """int[M]: the rows of a table that the flag --archs asks for.

    Raises:
      InputError: another form, or fewer than two of them.
    """
    if text == "all":
        rows = np.arange(len(table))
    elif text.isdecimal():
        drawn = np.random.default_rng(0).permutation(len(table))[: int(text)]
        rows = np.sort(drawn)
    elif ":" in text:
        low, _, high = text.partition(":")
        fits = low.isdecimal() and high.isdecimal()
        require(fits, "--archs", "FROM:TO in whole numbers", repr(text))
        inside = (table.index >= int(low)) & (table.index < int(high))
        rows = np.flatnonzero(inside)
    else:
        with files.given_file(f"--archs {text}", ARCHS):
            numbers = {int(line) for line in Path(text).read_text().split()}
        if unknown := len(numbers - {*table.index.tolist()}):
            say(f"--archs {text}: {unknown} of its numbers are not in the table")
        rows = np.flatnonzero(np.isin(table.index, [*numbers]))
    require(len(rows) > 1, "--archs", "some architectures of the table", repr(text))
    return rows


def measured(
    flags: argparse.Namespace, config: ConfigDict, table: BenchmarkTable
) -> list[Path]:
    """Measure the scores of all architectures, once for each repeat.

    Returns:
      A file of columns for each repeat.

    Raises:
      InputError: missing data, or a workdir with the columns of another command.
    """
    compilation.keep_compiled_programs(config.compilation_cache)
    settings = {
        "scores": ",".join(flags.scores),
        "archs": f"those of checksum {zlib.crc32(table.index.tobytes()):08x}",
        **{f"config.{n}": v for n, v in build.flat(config, SECTIONS).items()},
    }
    kept, paths = flags.workdir / "settings.json", []
    check_settings(kept, settings)
    for seed in range(flags.seed, flags.seed + flags.repeats):
        paths.append(flags.workdir / f"columns-seed{seed}.csv")
        if not paths[-1].exists():
            config.seed = seed
            # Fails where data are missing.
            proxies = proxy_columns(config, flags.scores).by_proxy()
            if processes.is_main_process():
                files.write_json(kept, settings)
            sweep(proxies, table, paths[-1])
    return paths
