"""Which sums of log ranks, and which fitted rankings, order NAS-Bench-201 best.

    python -m benchmarks.training_free.combinations --table=nb201_half.csv \
        --columns=columns-seed0.csv

Terms are what is counted of a cell and the columns of a file that `rank` has written.
Each time half of the networks chooses the terms, step by step, and the other half
judges them; whole equivalence classes lie on one side. Rewrites the results of the kept
file that it measures, and the page.
"""

from __future__ import annotations
