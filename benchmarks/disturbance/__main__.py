"""Measure what projected updates do: see `benchmarks.disturbance.command`."""

import sys

from benchmarks.disturbance.command import main
from difnas_jax.runtime import compilation

if __name__ == "__main__":
    compilation.suggest_kept_memory()
    sys.exit(main())
