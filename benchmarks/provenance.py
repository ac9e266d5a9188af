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
# What a processor says of itself -> the name; the widest first.
INSTRUCTION_SETS = {"avx512f": "AVX-512", "avx2": "AVX2"}


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
    """Processor, its instruction set, cores and memory."""
    info = Path("/proc/cpuinfo")
    pairs = (line.partition(":") for line in _lines(info))
    about = {name.strip(): value.strip() for name, _, value in pairs}
    flags = about.get("flags", "").split()
    widest = [name for flag, name in INSTRUCTION_SETS.items() if flag in flags][:1]
    model = about.get("model name", platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = model, *widest, f"{os.cpu_count()} cores", f"{memory:.0f} GiB"
    return ", ".join(parts)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
