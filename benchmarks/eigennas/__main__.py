"""Measure EigenNAS: see `benchmarks.eigennas.command`."""

import sys

from benchmarks.eigennas.command import main

if __name__ == "__main__":
    sys.exit(main())
