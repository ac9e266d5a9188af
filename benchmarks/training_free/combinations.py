"""Which sums of log ranks, and which fitted rankings, order NAS-Bench-201 best.

    python -m benchmarks.training_free.combinations --table=nb201_half.csv \
        --columns=columns-seed0.csv

Terms are what is counted of a cell and the columns of a file that `rank` has written.
Each time half of the networks chooses the terms, step by step, and the other half
judges them; whole equivalence classes lie on one side. Rewrites the results of the kept
file that it measures, and the page.
"""

from __future__ import annotations

import argparse
import collections
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.provenance import provenance
from benchmarks.training_free import page
from difnas_jax.ranking.comparison import Scores, combined, counted, split
from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.ranking.evaluation import tau_within
from difnas_jax.ranking.fitted import fit
from difnas_jax.ranking.path_counts import path_counts
from difnas_jax.ranking.tables import BenchmarkTable, read_nas_bench_201
