"""The programs that are timed: one row each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

# As the scripts of launch/ set it.
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
# glibc gives large buffers back to the system after every use; these keep them. As
# `make demo` sets it, and as runs suggest it (`runtime.compilation.KEPT_MEMORY`).
KEEP_MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:"
    "glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=67108864:"
    "glibc.malloc.arena_max=1"
}
THREADS = 2
TWO_DEVICES = {
    **HUGE_PAGES,
    "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
}


@dataclasses.dataclass(frozen=True)
class TimedProgram:
    """A program that runs in a process of its own.

    Attributes:
      module: module of this package with `build(program) -> update`; the update
        takes int32[K, L] paths, returns when it is done, and returns seconds where
        only a part of it counts.
      variant: which form of it, where a module has several.
      environment: variables of its process.
      space: key of `network.SPACES`.
      section: training section of the default config: `supernet` or `retrain`.
      trainable: `all_bn` or `all`.
      batch_size: images of an update.
      paths: key of `network.PATH_SETS`.
      together: one update for a set of paths instead of one for each path.
      fields: of the training section, where they differ from the default config.
    """

    module: str
    variant: str = ""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    space: str = "six_ops"
    section: str = "supernet"
    trainable: str = "all_bn"
    batch_size: int = 32
    paths: str = "fair"
    together: bool = False
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


DIFNAS = TimedProgram("difnas_update", environment=KEEP_MEMORY)
TORCH = TimedProgram("torch_update")
TUNED = TimedProgram("torch_update", "channels_last", KEEP_MEMORY)
INPUT = TimedProgram("input_batches", "alone", HUGE_PAGES, paths="repeated")
FAIR: dict[str, Any] = {"together": True}
RETRAIN: dict[str, Any] = {
    "space": "found",
    "section": "retrain",
    "trainable": "all",
    "batch_size": 64,
    "paths": "repeated",
}
_row = dataclasses.replace

PROGRAMS: dict[str, TimedProgram] = {
    "difnas_fair": _row(DIFNAS, **FAIR),
    "difnas_single": DIFNAS,
    "difnas_all_weights": _row(DIFNAS, trainable="all"),
    "difnas_one_path": _row(DIFNAS, paths="once"),
    "difnas_plain_convolutions": _row(DIFNAS, paths="once", variant="plain"),
    "difnas_two_ops": _row(DIFNAS, space="two_ops", paths="common"),
    "difnas_seven_ops": _row(DIFNAS, space="seven_ops", paths="common"),
    "difnas_retrain": _row(DIFNAS, **RETRAIN),
    "tuned_fair": _row(TUNED, **FAIR),
    "tuned_single": TUNED,
    "tuned_all_weights": _row(TUNED, trainable="all"),
    "tuned_retrain": _row(TUNED, **RETRAIN),
    "default_fair": _row(TORCH, **FAIR),
    "default_single": TORCH,
    "default_all_weights": _row(TORCH, trainable="all"),
    "devices_batch": TimedProgram("devices", "batch", TWO_DEVICES, together=True),
    "devices_paths": TimedProgram("devices", "paths", TWO_DEVICES, together=True),
    "matmul_jax": TimedProgram("matrix_product", "jax", paths="repeated"),
    "copy_jax": TimedProgram("matrix_product", "copy", KEEP_MEMORY, paths="repeated"),
    "matmul_torch": TimedProgram("matrix_product", "torch", paths="repeated"),
    "input_32": _row(INPUT, batch_size=32),
    "input_512": _row(INPUT, batch_size=512),
    "waiting_fair": TimedProgram("input_batches", "waiting", HUGE_PAGES, together=True),
}
