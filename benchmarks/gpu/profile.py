"""Where the device spends its time: kernels by kind, from the profiler of JAX."""

from __future__ import annotations

import collections
import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

UPDATES = 2
LONGEST = 10
LETTERS = 100  # of the name of a kernel
# The first pattern that is found in the name of a kernel decides.
KINDS = {
    "copy": r"memcpy|memset|copy|transpose|nchwto|nhwcto",
    "convolution": r"conv(?!ert)|fprop|dgrad|wgrad|depthwise|implicit",
    "matrix product": r"gemm|dot|matmul|nvjet|cutlass|cublas",
    "reduction": r"reduc|softmax",
    "loop fusion": r"fusion|wrapped|triton",
}


@contextlib.contextmanager
def recorded(folder: Path) -> Iterator[dict[str, Any]]:
    """Profile `UPDATES` updates.

    Args:
      folder: for the files of the profiler.

    Yields:
      A dictionary that is filled at the end, where the device has kernels: `kinds`,
      milliseconds an update by kind, and `longest`, those of the ten kernels that take
      the most, all runs of a kernel together.
    """
    found: dict[str, Any] = {}
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = options.host_tracer_level = 0  # the device alone
    with jax.profiler.trace(str(folder), profiler_options=options):
        yield found
    kernels: dict[str, float] = collections.defaultdict(float)
    for path in folder.rglob("*.xplane.pb"):
        for name, milliseconds in _kernels(path):
            kernels[name] += milliseconds / UPDATES
    if kernels:
        found |= summary(kernels)


def summary(kernels: Mapping[str, float]) -> dict[str, Any]:
    """Kinds and longest of kernels with their milliseconds, the longest first."""
    kinds: dict[str, float] = collections.defaultdict(float)
    for name, milliseconds in kernels.items():
        kinds[kind(name)] += milliseconds
    by_kind, by_name = (
        sorted(times.items(), key=lambda item: -item[1]) for times in (kinds, kernels)
    )
    return {"kinds": dict(by_kind), "longest": dict(by_name[:LONGEST])}


def _kernels(path: Path) -> Iterator[tuple[str, float]]:
    """Name and milliseconds of every event on a stream of a device."""
    for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
        if not plane.name.startswith("/device:"):
            continue
        for line in plane.lines:
            if line.name and line.name.startswith("Stream"):
                for event in line.events:
                    yield event.name[:LETTERS], event.duration_ns / 1e6


def kind(name: str) -> str:
    """What a kernel does, by its name."""
    matches = (kind for kind, text in KINDS.items() if re.search(text, name.lower()))
    return next(matches, "other")
