"""The page of results, made from the kept values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import markdown, result_files
from benchmarks.gpu import goals
from benchmarks.gpu.goals import FILLED, NOT_RUN
from benchmarks.gpu.parts import PARTS, Part
from benchmarks.speed.floors import Limits, of_program
from difnas_jax.runtime import files

FOLDER = Path(__file__).parent
RESULTS, PAGE = "results.json", "RESULTS.md"
MIB = 2**20
PHASES = ("initialize", "trace", "lower", "compile", "first")

HEADER = """# Training on one GPU

`python -m benchmarks.gpu` measures everything again, with `--parts=NAME,NAME` a part of
it; both rewrite this page from `results.json`. Each part is a process that starts with
no compiled programs. A ratio below 1 means that difnas_jax is faster or takes less
memory, and is made of two values of the same run. What was not measured reads
"{not_run}"; the last table but one says why.

The network is `mbv2` without identity, 21 layers of 6 ops, at 224 pixels with batch 128
and 1,000 classes; images are noise. "Fair" is an update of 6 paths that take each op of
every layer once, "BN only" trains the batch norms. "Retraining" is k5e6 in every layer,
all weights. "32 px" is the network of `benchmarks/speed`, 20 layers of 6 ops. PyTorch
runs channels last, with TF32 allowed, autocast for bf16 and cuDNN's benchmarking off.
`torch.compile` makes a program for every path, so it is measured on one path that stays
and has each of the six ops in every sixth layer; the same path in eager PyTorch stands
beside it.
"""


def page(results: result_files.Results) -> str:
    """The text of the page.

    Args:
      results: of `PARTS`, with provenance, as `results.json` holds them.
    """
    sections = (
        ("Machine", _machine),
        ("Goals", goals.lines),
        ("Correctness", _correctness),
        ("Updates", _updates),
        ("Compilation", _compilation),
        ("The digits", _digits),
        ("Where the time goes", _profiles),
        ("Not run", _not_run),
        ("Sources", markdown.sources),
    )
    lines = [HEADER.format(not_run=NOT_RUN)]
    for title, section in sections:
        lines += [f"## {title}", "", *section(results), ""]
    return "\n".join(lines)


def write(folder: Path, results: result_files.Results) -> None:
    """Write the values and the page."""
    known = {name: results[name] for name in PARTS if name in results}
    kept = result_files.write(folder / RESULTS, known)
    with files.atomic_write(folder / PAGE) as file:
        file.write(page(kept))


def _values(results: result_files.Results, name: str) -> dict[str, Any]:
    return results.get(name, {}).get("values", {})


def _machine(results: result_files.Results) -> Iterator[str]:
    values = _values(results, "machine")
    yield from markdown.head(("card, driver, memory", "copy, TB/s", "bf16, TFLOP/s"))
    card = results.get("machine", {}).get("card") or values.get("device", NOT_RUN)
    rates = (_number(values, name, 1e-12) for name in ("bandwidth", "rate"))
    yield markdown.row((card, *rates))


def _correctness(results: result_files.Results) -> Iterator[str]:
    yield (
        "Gradient of one fair update of 2 paths, 5 layers of 2 ops with tanh at 32 "
        "pixels: distance to that of the CPU in float32, divided by its norm. Goal: "
        "highest precision at most 1e-4."
    )
    yield ""
    precisions = ("float32, highest", "float32, default", "bfloat16")
    yield from markdown.head(("paths", *precisions))
    for name in ("correct_scan", "correct_side_by_side"):
        errors = _values(results, name).get("errors", {})
        cells = (
            f"{errors[precision]:.1e}" if precision in errors else NOT_RUN
            for precision in precisions
        )
        yield markdown.row((PARTS[name].title, *cells))


def _updates(results: result_files.Results) -> Iterator[str]:
    yield (
        "Milliseconds of an update: median of updates that are waited for; mean of "
        'updates that follow each other ("piped"), and the same a path; the time in '
        "which its bytes move and its multiply-adds are done on this card, at least, "
        "and in a program that fuses nothing (`benchmarks/speed/floors.py`), also a "
        "path. MiB: the most memory in use (of difnas_jax since the process began, the "
        "choice of kernels included; of PyTorch while timed); what the compiler plans "
        "for the program; images x paths held at once; the peak for 128 of these."
    )
    yield ""
    yield from markdown.head(
        (
            "update",
            "waited, ms",
            "piped, ms",
            "a path, ms",
            "least, ms",
            "unfused, ms",
            "peak, MiB",
            "program, MiB",
            "images x paths",
            "MiB for 128",
        )
    )
    for name in _updates_of(cold=True):
        yield markdown.row((PARTS[name].title, *_update(name, results)))


def _update(name: str, results: result_files.Results) -> Iterator[str]:
    part, values = PARTS[name], _values(results, name)
    yield _number(values, "waited", 1e3)
    yield _number(values, "piped", 1e3)
    yield _number(values, "piped", 1e3 / part.paths)
    floors = _floors(part, _values(results, "machine"))
    yield _number(floors, "least", 1e3 / part.paths)
    yield _number(floors, "unfused", 1e3 / part.paths)
    yield _number(values, "peak_bytes", 1 / MIB, digits=0)
    yield _number(values, "program_bytes", 1 / MIB, digits=0, missing="")
    yield f"{part.in_flight}"
    yield _number(values, "peak_bytes", 128 / part.in_flight / MIB, digits=0)


def _floors(part: Part, machine: dict[str, Any]) -> dict[str, float]:
    """Seconds of an update by each rule of `Work.seconds`, where both limits are."""
    if not {"bandwidth", "rate"} <= machine.keys():
        return {}
    limits = Limits(machine["bandwidth"], machine["rate"])
    work = of_program(part.program)
    return {rule: work.seconds(limits, rule) for rule in ("least", "unfused")}


def _compilation(results: result_files.Results) -> Iterator[str]:
    yield (
        "Seconds: initial values; tracing; lowering; compilation, beside the other "
        "processes of the run; the first update, which of compiled PyTorch compiles."
    )
    yield ""
    yield from markdown.head(("program", *PHASES, "trace to compile"))
    for name in (*_updates_of(cold=True), *_updates_of(cold=False)):
        values = _values(results, name)
        cells = (_number(values, phase, missing="") for phase in PHASES)
        warm = FILLED * bool(PARTS[name].compiled_by)
        total = goals.seconds_to_compile(values)
        shown = f"{total:,.1f}" if total else ""
        yield markdown.row((PARTS[name].title + warm, *cells, shown))


def _digits(results: result_files.Results) -> Iterator[str]:
    values = _values(results, "digits")
    stages, compiled = values.get("stages", {}), values.get("compiled", {})
    yield from markdown.head(("stage", "seconds", "of these compilation"))
    for stage in stages or (NOT_RUN,):
        cells = (_number(part, stage, missing="") for part in (stages, compiled))
        yield markdown.row((stage, *cells))
    if "test_accuracy" in values:
        yield ""
        yield f"Test accuracy: {100 * values['test_accuracy']:.2f} %."


def _profiles(results: result_files.Results) -> Iterator[str]:
    yield (
        "Milliseconds of an update on the device: of all kernels, by kind, and of the "
        "longest ones. What they lack of the time of an update the device waits."
    )
    for name in PARTS:
        kernels = _values(results, name).get("kernels")
        if not kernels:
            continue
        yield from ("", f"**{PARTS[name].title}**", "")
        yield from markdown.head(("kernels", "ms"))
        yield _kernels("all", sum(kernels["kinds"].values()))
        for kind, milliseconds in kernels["kinds"].items():
            yield _kernels(kind, milliseconds)
        for kernel, milliseconds in kernels["longest"].items():
            yield _kernels(f"`{kernel}`", milliseconds)


def _kernels(name: str, milliseconds: float) -> str:
    return markdown.row((name, f"{milliseconds:,.2f}"))


def _not_run(results: result_files.Results) -> Iterator[str]:
    yield from markdown.head(("part", "reason"))
    for name in PARTS:
        reason = results.get(name, {"not_run": "not asked for"}).get("not_run", "")
        if reason:
            yield markdown.row((f"`{name}`", reason.replace("|", "\\|")))


def _updates_of(cold: bool) -> list[str]:
    """The parts that time an update, with an empty cache or a filled one."""
    return [
        name
        for name, part in PARTS.items()
        if part.program.module and part.module != "correctness"
        if cold != bool(part.compiled_by)
    ]


def _number(
    values: dict[str, Any],
    name: str,
    scale: float = 1.0,
    digits: int = 1,
    missing: str = NOT_RUN,
) -> str:
    value = values.get(name)
    return missing if value is None else f"{scale * value:,.{digits}f}"
