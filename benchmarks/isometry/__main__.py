"""Measure isometry and fairness: see `benchmarks.isometry.command`."""

import sys

from benchmarks.isometry.command import main
from difnas_jax.runtime import compilation

if __name__ == "__main__":
    compilation.suggest_kept_memory()
    sys.exit(main())
