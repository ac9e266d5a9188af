r"""Training-free scores against a benchmark table of trained networks.

    python -m difnas_jax rank nas_bench_201 --table=nb201.csv \
        --data=cifar10.npz --scores=nwot,jacov --combine sum_log_rank:jacov+params
    python -m difnas_jax rank nas_bench_201 --table=nb201.csv --csv columns.csv

Writes a file of columns for each repeat, `columns-seed0.csv`, and then the ranking:
`ranking.md`, `.csv`, `.json` and `.html`. The same command continues one that was
stopped. With --csv nothing is measured: the columns come from such files, one for each
repeat, or from any CSV with the column `index`.

A cell that is empty was not measured, and its architecture is left out; one that is not
a finite number ranks worst. Columns of unknown names are taken as larger is better.
Parameters, multiply-adds and live convolutions are ranked beside every score.

--config.FIELD=VALUE changes the config of the space, with which networks and images are
drawn. --fit=N adds rankings that are fitted to the accuracies of N architectures; all
scores are then judged on the others. A fitted ranking is no training-free score.
"""

import argparse
import contextlib
import zlib
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from difnas_jax.config import build
from difnas_jax.config.files import load_config, override_by_flags
from difnas_jax.errors import require
from difnas_jax.ranking.comparison import (
    NULLS,
    Scores,
    combined,
    counted,
    evaluations,
)
from difnas_jax.ranking.tables import TABLES, BenchmarkTable
from difnas_jax.report import ranking
from difnas_jax.runtime import compilation, files, processes, shutdown
from difnas_jax.runtime.columns import Columns, check_settings
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.versions import versions
from difnas_jax.scoring.proxies import COLUMNS
from difnas_jax.scoring.reliability import doubts_about_columns
from difnas_jax.scoring.sweep import measures, sweep

SECTIONS = ("space", "data", "method")  # of the config, which change what is measured
JOIN_SECONDS = 300.0
Costs = dict[str, dict[str, float]]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, rank and write.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    return shutdown.exit_code(lambda: _rank(argv))


def _rank(argv: Sequence[str] | None) -> None:
    flags, config = parse_flags(argv)
    if processes.number_of_processes() > 1:
        processes.join(JOIN_SECONDS)
    with shutdown.watch_for_failures(), contextlib.ExitStack() as held:
        if processes.is_main_process():  # it alone writes, and holds the workdir
            held.enter_context(files.locked(flags.workdir))
        held.enter_context(shutdown.handle_signals())
        processes.on_all_processes(lambda: _work(flags, config))


def _work(flags: argparse.Namespace, config: ConfigDict) -> None:
    table = TABLES[flags.space](flags.table)
    table = table[chosen_rows(flags.archs, table)]
    costs: Costs = {}
    origin = {"columns": [path.name for path in flags.csv or ()]}
    if not flags.csv:
        flags.csv, costs = measured(flags, config, table)
        images = config.data.path or config.data.name or config.data.source
        origin = {"images": images, "pixels": config.space.image_size}
    if not processes.is_main_process():
        return
    scores, table = read_scores(flags, table)
    found = evaluations(table, scores, fit_to=flags.fit, seed=flags.seed)
    about = {
        "space": flags.space,
        "table": flags.table.name,
        **origin,
        "architectures": len(table),
        "fitted to": flags.fit,
        "seed": flags.seed,
        "repeats": len(flags.csv),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "versions": versions(),
        "warnings": "; ".join(doubts_about_columns(scores)) or "none",
    }
    results = ranking.Results(about, found, costs)
    ranking.write(flags.workdir, results, table, scores)
    say("\n".join(results.lines()))


def parse_flags(
    argv: Sequence[str] | None,
) -> tuple[argparse.Namespace, ConfigDict]:
    """The flags, and the config of the networks to be measured.

    Raises:
      InputError: a flag or a value that is not allowed.
    """
    parser = shutdown.Parser(
        prog="python -m difnas_jax rank",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("space", choices=TABLES)
    add("--table", required=True, metavar="FILE", type=Path, help="accuracies")
    add("--scores", default="", metavar="NAME,NAME,...", help=", ".join(COLUMNS))
    add("--combine", default=[], nargs="+", metavar="COMBINER:NAME+NAME", help="sums")
    add("--data", metavar="FILE", help="images; default: as the config says")
    add("--csv", nargs="+", metavar="FILE", type=Path, help="nothing is measured")
    archs = "all, N drawn ones, FROM:TO of the official numbers, or a file of numbers"
    add("--archs", default="all", help=archs)
    add("--repeats", default=1, metavar="N", type=int, help="with seeds that follow")
    add("--seed", default=0, metavar="N", type=int)
    add("--fit", default=0, metavar="N", type=int, help="architectures; 0: none")
    add("--workdir", required=True, metavar="FOLDER", type=Path)
    known, rest = parser.parse_known_args(argv)
    known.scores = [name for name in known.scores.split(",") if name]
    require(bool(known.scores or known.csv), "--scores", "names, or --csv", "nothing")
    for name in known.scores if not known.csv else ():
        require(
            name in COLUMNS, "--scores", f"some of {', '.join(COLUMNS)}", repr(name)
        )
    for name, least in (("repeats", 1), ("seed", 0), ("fit", 0)):
        number = getattr(known, name)
        require(number >= least, f"--{name}", f"at least {least}", number)
    config = load_config(known.space)
    if known.data:
        config.data.source, config.data.path = "arrays", known.data
    override_by_flags(config, rest)
    return known, config


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
        with files.damage_as_input_error(Path(text), "one official number a line"):
            numbers = [int(line) for line in Path(text).read_text().split()]
        rows = np.flatnonzero(np.isin(table.index, numbers))
    require(len(rows) > 1, "--archs", "some architectures of the table", repr(text))
    return rows


def measured(
    flags: argparse.Namespace, config: ConfigDict, table: BenchmarkTable
) -> tuple[list[Path], Costs]:
    """Measure the scores of all architectures, once for each repeat.

    Returns:
      A file of columns for each repeat, and what each proxy cost, see `Timed.cost`, in
      the last repeat that this process measured.

    Raises:
      InputError: missing data, or a workdir with the columns of another command.
    """
    compilation.keep_compiled_programs(config.compilation_cache)
    settings = {
        "scores": ",".join(flags.scores),
        "archs": f"those of checksum {zlib.crc32(table.index.tobytes()):08x}",
        **{f"config.{n}": v for n, v in build.flat(config, SECTIONS).items()},
    }
    check_settings(flags.workdir / "settings.json", settings)
    paths, costs = [], {}
    for seed in range(flags.seed, flags.seed + flags.repeats):
        paths.append(flags.workdir / f"columns-seed{seed}.csv")
        if not paths[-1].exists():
            config.seed = seed
            timed = measures(config, flags.scores)
            sweep(timed, table, paths[-1])
            costs = {name: one.cost for name, one in timed.items()}
    return paths, costs


def read_scores(
    flags: argparse.Namespace, table: BenchmarkTable
) -> tuple[Scores, BenchmarkTable]:
    """What is ranked, of the architectures that every file has measured.

    Returns:
      `NULLS`, the columns of the files in their direction, and what --combine asks for;
      and the rows of the table.

    Raises:
      InputError: a damaged file, one with fewer than two of the architectures, or an
        unknown name.
    """
    repeats = [Columns.read(path, flags.scores) for path in flags.csv]
    for path, one in zip(flags.csv, repeats, strict=True):
        table = table[np.isin(table.index, one.index[one.measured])]
        require(len(table) > 1, str(path), "architectures of the table", len(table))
    known = counted(table)
    rows = {name: known[name] for name in NULLS}
    for name in repeats[0].values:
        column = np.stack([one.of(name, table.index) for one in repeats])
        lower = name in COLUMNS and not COLUMNS[name].higher_is_better
        rows[name] = -column if lower else column
    known |= rows
    rows |= {text: combined(text, known) for text in flags.combine}
    return rows, table
