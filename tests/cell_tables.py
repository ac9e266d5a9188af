"""Tables in the form of NAS-Bench-201, with random accuracies."""

import csv

import numpy as np

from difnas_jax import spaces
from difnas_jax.spaces.costs import cost_table

SPACE = spaces.build("nas_bench_201", image_size=32, image_channels=3, num_classes=10)
ACCURACIES = "test_c10", "test_c100", "test_in16"


def some_cells(rng, count=60):
    """int[M, 6]: different cells."""
    return np.unique(rng.integers(0, SPACE.num_ops, (count, 6)), axis=0)


def rows_of(cells, rng):
    costs = cost_table(SPACE, linear="macs_and_bias").of(cells)
    return [
        {
            "index": 3 * number,
            "arch": SPACE.text(cell),
            "eq_class": number // 2,
            **{name: rng.uniform(30, 95) for name in ACCURACIES},
            "params": costs["params"][number],
            "flops": costs["macs"][number],
            "zc_made_up": rng.normal(),
        }
        for number, cell in enumerate(cells)
    ]


def write_rows(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
