"""The gradient on the CPU, with which `correctness` compares."""

from __future__ import annotations

import numpy as np

from benchmarks.gpu.correctness import gradient, reference_file
from benchmarks.gpu.session import Session


def measure(session: Session) -> None:
    """Write the gradient in full precision."""
    np.savez(reference_file(session), *gradient(session))
