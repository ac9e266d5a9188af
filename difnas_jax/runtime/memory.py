"""The memory that this machine has left."""

import re
from pathlib import Path

MEMINFO = Path("/proc/meminfo")


def available_memory() -> int | None:
    """Bytes that a process can still get; None where the system does not tell."""
    if not MEMINFO.exists():
        return None
    found = re.search(r"^MemAvailable: *(\d+) kB$", MEMINFO.read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else None
