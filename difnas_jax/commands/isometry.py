"""Singular values, variance and gradients of a supernet, beside what theory says.

    difnas-jax isometry --config=digits --workdir=runs/mine
    difnas-jax isometry --config=mbv2 --config.method.activation=tanh

Prints tables for the initial supernet of a config, or of a config file, and writes
`isometry.json` into the workdir, from which the report of that run makes a section.
--workdir is by default that of `difnas-jax` with the same flags. Nothing
trains and no data are read; it takes about a minute for the digits.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax import checks
from difnas_jax import main as run
from difnas_jax.config.files import load_config, override_by_flags
from difnas_jax.isometry.summary import LAYERS, Values, summary
from difnas_jax.runtime import artifacts, compilation, files, locks
from difnas_jax.runtime.given_paths import given_path
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.progress import working
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.stages.dependencies import check_workdir


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write.

    Returns:
      The exit code, one of those of `runtime/shutdown.py`.
    """
    return exit_code(lambda: _measure(*parse_flags(argv)))


def parse_flags(argv: Sequence[str] | None) -> tuple[ConfigDict, Path]:
    """The config with its overrides, and the workdir.

    Raises:
      InputError: a flag or a value that is not allowed.
    """
    parser = Parser("difnas-jax isometry", __doc__)
    parser.add_argument("--config", metavar="NAME[:ARGUMENTS]", required=True)
    parser.add_argument("--workdir", metavar="FOLDER")
    known, rest = parser.parse_known_args(argv)
    config = load_config(known.config)
    override_by_flags(config, rest)
    workdir = known.workdir
    if workdir is None:
        workdir = run.default_workdir(known.config, config)
    return config, given_path("--workdir", workdir)


@working("measuring")
def _measure(config: ConfigDict, workdir: Path) -> None:
    checks.check(config)
    compilation.keep_compiled_programs(config.compilation_cache)
    with locks.locked(workdir):
        check_workdir(config, workdir, data_checksum="")
        values = summary(config, say)
        files.write_json(workdir / artifacts.ISOMETRY, values)
    say("\n".join(tables(values)))
    say(f"written: {workdir / artifacts.ISOMETRY}")


def tables(values: Values) -> list[str]:
    """All tables, line by line; a law stands in brackets behind its measurement."""
    return [*_block_table(values), "", *_depth_table(values), "", *_role_table(values)]


def _block_table(values: Values) -> list[str]:
    rows = [
        [
            f"{row['op']}, stride {row['stride']}",
            row["part"],
            *(_against(row[key], row[f"{key}_law"]) for key in ("mean", "spread")),
            *(f"{row[key]:.3f}" for key in ("plain_mean", "plain_spread")),
        ]
        for row in values["blocks"]
    ]
    title = "Squared singular values of every block, mean and normalised variance (nv)"
    head = ["block", "part", "mean", "nv", "mean without batch norm", "nv without"]
    return _table(title, head, rows)


def _depth_table(values: Values) -> list[str]:
    columns = values["depth"]
    if columns is None:
        return ["Depth: not measured, the network is no chain of layers"]
    rows = [
        [
            str(layer),
            _against(columns["variance"][layer], columns["variance_law"][layer]),
            f"{columns['gradient'][layer]:.3g}",
            _against(columns["growth"][layer], columns["growth_law"][layer]),
        ]
        for layer in range(values["layers"])
    ]
    title = "Through the depth of the supernet, geometric means over paths"
    head = ["layer", "variance q", "gradient norm", "growth of its square"]
    return _table(title, head, rows)


def _role_table(values: Values) -> list[str]:
    rows = [
        [
            row["role"],
            f"{row['weights']:.3g}",
            ", ".join(map(_interval, row["fixed_points"])) or "none",
            f"{row['chi']:.3g} at {row['q']:.3g}",
            _against(row["spread"], row["spread_law"]),
        ]
        for row in values["roles"]
    ]
    title = f"Without batch norm, a layer of these kernels and {values['activation']}"
    head = ["kernels", "variance", "fixed points q*", "chi", f"nv of {LAYERS} layers"]
    with_batch_norm = f"With batch norm: q* = 1, chi {values['normalized']:.4g}"
    return [*_table(title, head, rows), with_batch_norm]


def _interval(ends: Sequence[float]) -> str:
    low, high = ends
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def _against(measured: float | None, law: float | None) -> str:
    return "" if measured is None else f"{measured:.3f} ({law:.3f})"


def _table(title: str, head: Sequence[str], rows: Iterable[Any]) -> list[str]:
    """Aligned columns below a title."""
    lines = [list(head), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return [title] + [
        "  ".join(map(str.ljust, line, widths)).rstrip() for line in lines
    ]
