"""The parts of the measurement, the most telling first: one row each."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from benchmarks.speed.programs import TimedProgram

# What stands for a network in the small form.
SMALL_SPACES = {
    "imagenet": "tiny",
    "imagenet_found": "tiny_found",
    "six_ops": "tiny",
    "short": "tiny",
}
SMALL_PATHS = {"fair": "common", "once": "mixed"}  # those that the tiny network has
SMALL_BATCH = 4
# Paths of a set, where it has several.
PATHS = {"fair": 6, "common": 2}


@dataclasses.dataclass(frozen=True)
class Part:
    """One measurement, which has a process of its own.

    Attributes:
      title: what is measured.
      module: module of this package with `measure(session)`.
      limit: whole seconds that it may take, without those in which it waits until it
        has the GPU to itself.
      program: what is timed or compared, where the part does that.
      compiled_by: the part that fills the cache of compiled programs, where it is not
        this one; it has ended before this one starts.
    """

    title: str
    module: str
    limit: int
    program: TimedProgram = TimedProgram("")
    compiled_by: str = ""

    @property
    def paths(self) -> int:
        """Of an update."""
        return PATHS.get(self.program.paths, 1)

    @property
    def in_flight(self) -> int:
        """Images x paths of which the activations are held at once."""
        return self.program.batch_size * self.program.fields.get("paths_at_once", 1)

    def small(self) -> Self:
        """The same with a tiny network, to try it out."""
        program, fields = self.program, dict(self.program.fields)
        if fields.get("paths_at_once", 1) > 1:
            fields |= TWO
        small = dataclasses.replace(
            program,
            fields=fields,
            space=SMALL_SPACES.get(program.space, program.space),
            paths=SMALL_PATHS.get(program.paths, program.paths),
            batch_size=SMALL_BATCH,
        )
        return dataclasses.replace(self, program=small)


_row = dataclasses.replace

# Fields of a training section.
BFLOAT16: dict[str, Any] = {"dtype": "bfloat16"}
# Paths of an update that run at once.
SCAN, SIX, TWO = ({"paths_at_once": paths} for paths in (1, 6, 2))
# The step of plain SGD is the gradient; that of Adam hangs on the sign of its noise.
GRADIENT: dict[str, Any] = {"optimizer": "sgd"}

FAIR = TimedProgram(
    "difnas_update",
    space="imagenet",
    batch_size=128,
    together=True,
    fields=BFLOAT16,
)
ONE_PATH = _row(FAIR, paths="mixed")
WEIGHTS = _row(FAIR, trainable="all")
RETRAINING = _row(WEIGHTS, space="imagenet_found", section="retrain", paths="once")
CIFAR = _row(FAIR, space="six_ops", batch_size=512)
FLOAT32 = _row(FAIR, fields={})
TWO_PATHS = _row(FAIR, space="short", batch_size=32, paths="common")


def _ours(title: str, program: TimedProgram, limit: int = 150, **fields: Any) -> Part:
    program = _row(program, fields={**program.fields, **fields})
    return Part(title, "difnas_updates", limit, program)


def _torch(title: str, program: TimedProgram) -> Part:
    program = _row(program, module="torch_update", variant="channels_last")
    return Part(f"PyTorch, {title}", "torch_updates", 90, program)


def _torch_compiled(title: str, program: TimedProgram) -> Part:
    program = _row(program, module="torch_update", variant="compiled")
    return Part(f"PyTorch compiled, {title}", "torch_updates", 120, program)


def _correct(title: str, **fields: Any) -> Part:
    program = _row(TWO_PATHS, fields={**GRADIENT, **fields})
    return Part(title, "correctness", 120, program)


SCANNED = _ours("fair, BN only, bf16, paths in a scan", FAIR, limit=200, **SCAN)
BESIDE = _ours("fair, BN only, bf16, paths side by side", FAIR, **SIX)

PARTS: dict[str, Part] = {
    "machine": Part("bandwidth and rate", "machine", 45),
    "correct_scan": _correct("paths in a scan", **SCAN),
    "correct_side_by_side": _correct("paths side by side", **TWO),
    "fair_scan": SCANNED,
    "fair_side_by_side": BESIDE,
    "fair_torch": _torch("fair, BN only, bf16", FAIR),
    "path_torch_compiled": _torch_compiled("one path, BN only, bf16", ONE_PATH),
    "retrain": _ours("retraining, bf16", RETRAINING),
    "retrain_torch": _torch("retraining, bf16", RETRAINING),
    "retrain_torch_compiled": _torch_compiled("retraining, bf16", RETRAINING),
    "path_torch": _torch("one path, BN only, bf16", ONE_PATH),
    "fair_scan_warm": _row(SCANNED, compiled_by="fair_scan"),
    "fair_side_by_side_warm": _row(BESIDE, compiled_by="fair_side_by_side"),
    "weights": _ours("fair, all weights, bf16", WEIGHTS, 200, **SIX),
    "weights_torch": _torch("fair, all weights, bf16", WEIGHTS),
    "digits": Part("the digits from config to report", "digits", 180),
    "cifar": _ours("fair, BN only, bf16, 32 px, batch 512", CIFAR, **SIX),
    "cifar_torch": _torch("fair, BN only, bf16, 32 px, batch 512", CIFAR),
    "float32": _ours("fair, BN only, float32", FLOAT32, **SIX),
    "float32_torch": _torch("fair, BN only, float32", FLOAT32),
}
