"""A measurement in a new process, whose memory and caches nothing else has used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def run_in_fresh_process(module: str, argument: str, **environment: str) -> Any:
    """What `python -m benchmarks.speed.MODULE ARGUMENT` prints, as JSON."""
    output = subprocess.run(
        [sys.executable, "-m", f"benchmarks.speed.{module}", argument],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    return json.loads(output)
