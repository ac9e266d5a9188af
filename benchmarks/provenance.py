"""When, where and with which versions a measurement was made."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("jax", "jaxlib", "flax", "numpy")


def provenance(
    command: str, seed: int | Sequence[int], packages: Sequence[str] = PACKAGES
) -> dict[str, Any]:
    """The command, date, seed, machine and versions of a measurement.

    Args:
      command: that makes it.
      seed: or all seeds.
      packages: whose versions matter; those that are not installed are left out.
    """
    return {
        "command": command,
        "date": now(),
        "seed": seed,
        "machine": machine(),
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in packages if _version(name)},
        },
    }


def _version(package: str) -> str:
    """The version of a package; empty where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def now() -> str:
    """Date and time to the second, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def machine() -> str:
    """Processor, cores and memory."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    model = names[0] if names else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB"
