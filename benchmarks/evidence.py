"""All rows of the evidence: which choice ranks the networks of NAS-Bench-Macro.

    python -m benchmarks.evidence --data=cifar10.npz \
        --table=nas-bench-macro_cifar10.json [ROW ...]

Each row is a command of `benchmarks.nas_bench_macro`, which is printed and kept with
its result in `benchmarks/evidence/<row>.json`; `benchmarks/EVIDENCE.md` is made from
these. Without names all rows run that have no result yet.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import nas_bench_macro
from difnas_jax.errors import InputError
from difnas_jax.runtime import compilation, files
from difnas_jax.runtime.command import Parser, exit_code
from difnas_jax.runtime.metrics import say

FOLDER = Path(__file__).parent / "evidence"
PAGE = Path(__file__).parent / "EVIDENCE.md"


class Row(NamedTuple):
    """A row of the evidence.

    Attributes:
      title: what differs from the default.
      words: flags of `nas_bench_macro`.
      size: side of the images in pixels.
    """

    title: str
    words: tuple[str, ...] = ()
    size: int = 16


def _method(**fields: Any) -> tuple[str, ...]:
    return tuple(f"--config.method.{name}={value}" for name, value in fields.items())


THREE = "--seeds=0,1,2"
TWO = "--seeds=0,1"
SHORT = "--updates=1000"
FEW = "--networks=50", "--config.search.recalibration_batches=10"
SGD = (
    "--config.supernet.optimizer=sgd",
    "--config.supernet.weight_decay=5e-4",
    "--config.supernet.learning_rate=0.05",
    "--config.supernet.reference_batch=64",
)
ROWS: dict[str, Row] = {
    "default": Row("default, 2000 updates", (THREE,)),
    "short": Row("default, 1000 updates", (TWO, SHORT)),
    "shorter": Row("default, 500 updates", (TWO, "--updates=500")),
    "shortest": Row("default, 250 updates", (TWO, "--updates=250")),
    "frozen": Row("kernels frozen, 2000 updates", ("--method=frozen", THREE)),
    "frozen_short": Row(
        "kernels frozen, 1000 updates", ("--method=frozen", TWO, SHORT)
    ),
    "paper": Row("DI-NAS as in the paper", ("--method=dinas_paper", SHORT)),
    "paper_rate": Row(
        "likewise, learning rate 0.25 at batch 32",
        ("--method=dinas_paper", SHORT, "--config.supernet.reference_batch=32"),
    ),
    "bnnas": Row("BN-NAS", ("--method=bnnas", SHORT)),
    "he": Row(
        "kernels start as `he_fan_out`", (TWO, SHORT, *_method(kernels="he_fan_out"))
    ),
    "qr": Row("depthwise kernels start as `qr`", (SHORT, *_method(depthwise="qr"))),
    "spatial": Row(
        "only k x k kernels and batch norms train",
        (SHORT, *_method(trainable="spatial")),
    ),
    "indicator": Row(
        "only indicator BNs and the classifier train",
        (SHORT, *_method(trainable="indicator")),
    ),
    "classifier": Row(
        "all BNs train, kernels and classifier frozen",
        (SHORT, *_method(trainable="all_bn", train_classifier=False)),
    ),
    "uniform": Row(
        "uniform sampling, three times the updates",
        ("--updates=3000", *_method(sampling="uniform")),
    ),
    "candidate": Row(
        "identity with batch norm", (SHORT, *_method(layer_indicator="candidate"))
    ),
    "sgd": Row("SGD", (SHORT, *SGD)),
    "he_sgd": Row(
        "SGD, kernels start as `he_fan_out`",
        (SHORT, *SGD, *_method(kernels="he_fan_out")),
    ),
    "fairnas": Row(
        "FairNAS, accuracy of 50 networks",
        ("--method=fairnas", SHORT, *FEW),
    ),
    "spos": Row(
        "SPOS, accuracy of 50 networks",
        ("--method=spos", "--updates=3000", *FEW),
    ),
    "large": Row("default at 32 pixels, 500 updates", ("--updates=500",), 32),
}

HEADER = """# Evidence on NAS-Bench-Macro

`python -m benchmarks.evidence --data=FILE --table=FILE` measures and rewrites this
page; `docs/evidence.md` says what it means. Every network counts once. In brackets:
95 % bootstrap over networks and seeds. "Seeds" is tau-b between the scores of two
seeds, "deep" tau-b among the networks without identity, "regret" what the best score
under 60 M MACs lacks to the best accuracy in percent points, "gamma" tau-b of the
learned scales of the same supernet, summed and as a ratio. Seconds are those of one
training, on one core that other work slowed down at times, and of its last part where
it was stopped and continued; images pass through a path of one supernet, accuracy
scores included.

"""
COLUMNS = (
    "row",
    "n",
    "tau-b",
    "seeds",
    "rho",
    "weighted",
    "deep",
    "regret",
    "gamma sum, ratio",
    "s",
    "images",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rows; returns the exit code, one of those of `difnas_jax.command`."""
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> None:
    parser = Parser(
        prog="python -m benchmarks.evidence", description="All rows, or some."
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--data", required=True, metavar="FILE")
    parser.add_argument("--table", required=True, metavar="FILE")
    flags = parser.parse_args(argv)
    if unknown := [name for name in flags.rows if name not in ROWS]:
        raise InputError(f"{', '.join(unknown)}: expected rows among {', '.join(ROWS)}")
    missing = [name for name in ROWS if not _result(name).exists()]
    for name in flags.rows or missing:
        folder = Path("runs") / "evidence" / name
        inputs = f"--data={flags.data}", f"--table={flags.table}"
        choice = f"--size={ROWS[name].size}", *ROWS[name].words
        words = [*inputs, *choice, f"--output={folder}"]
        say(f"=== {name}: {' '.join(words)}")
        if nas_bench_macro.main(words):
            raise InputError(f"{name}: failed, see above")
        result = files.read_json(folder / "result.json")
        named = [f"--data={Path(flags.data).name}", f"--table={Path(flags.table).name}"]
        result["command"] = " ".join([nas_bench_macro.MODULE, *named, *choice])
        files.write_json(_result(name), result)
    write_page()


def _result(name: str) -> Path:
    return FOLDER / f"{name}.json"


def write_page() -> None:
    """`EVIDENCE.md` from the results that are there."""
    known = [name for name in ROWS if _result(name).exists()]
    results = {name: files.read_json(_result(name)) for name in known}
    lines = [_line(ROWS[name].title, result) for name, result in results.items()]
    if "default" in results:
        baselines = results["default"]["baselines"]
        lines += [_line(f"baseline: {name}", row) for name, row in baselines.items()]
    commands = [
        f"    {result['command']}  # {result.get('commit', 'this version')}"
        for result in results.values()
    ]
    with files.atomic_write(PAGE) as file:
        head = f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"
        text = [*head, *lines, "", "Commands:", "", *commands]
        file.write(HEADER + "\n".join(text) + "\n")


def _line(title: str, result: dict[str, Any]) -> str:
    interval = result["tau_b_interval"]
    between = "" if interval is None else " [{:.3f}, {:.3f}]".format(*interval)
    scales = [
        result.get("other_scores", {}).get(f"gamma {rule}", {}).get("tau_b")
        for rule in ("sum", "ratio")
    ]
    seconds = [part["supernet"] for part in result.get("seconds", [])]
    regret = next(r["regret"] for r in result["regret"] if r["budget"] == 60_000_000)
    cells = (
        title,
        str(result["n"]),
        _number(result["tau_b"]) + between,
        _number(result.get("seeds", {}).get("agreement")),
        _number(result["spearman"]),
        _number(result["weighted_tau"]),
        _number(result.get("no_identity", {}).get("tau_b")),
        f"{regret:.2f}",
        ", ".join(_number(scale) for scale in scales if scale is not None),
        f"{sum(seconds) / len(seconds):.0f}" if seconds else "",
        f"{result['images'][0]:,}" if "images" in result else "",
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    compilation.restart_with_huge_pages()
    sys.exit(main())
