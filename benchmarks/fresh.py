"""A measurement in a process that nothing else has touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def measured(module: str, argument: str, **environment: str) -> Any:
    """What `python -m benchmarks.MODULE ARGUMENT` prints, as JSON."""
    output = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", argument],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    return json.loads(output)
