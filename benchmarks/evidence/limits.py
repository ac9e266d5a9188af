"""What any score can reach at most on a table of NAS-Bench-Macro.

python -m benchmarks.evidence.limits --table=nas_bench_macro_half.json
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from difnas_jax.ranking.correlation import kendall_tau_b, mean_ranks
from difnas_jax.ranking.tables import BenchmarkTable, read_nas_bench_macro
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Print the limits; returns the exit code."""
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> None:
    parser = Parser(prog="python -m benchmarks.evidence.limits", description=__doc__)
    parser.add_argument("--table", type=Path, required=True, metavar="FILE")
    path = parser.parse_args(argv).table
    table = read_nas_bench_macro(path)
    table = table[table.first_of_network]
    say(f"networks: {len(table)}")
    say(f"tau-b between two trainings: {between_trainings(path, table):.3f}")
    for name, targets in (
        ("accuracies", table.accuracies),
        ("ranks", mean_ranks(table.accuracies)),
    ):
        tau = kendall_tau_b(fitted_sum(table, targets), table.accuracies)
        say(f"tau-b of the sum over layers that fits their {name} best: {tau:.3f}")


def between_trainings(path: Path, table: BenchmarkTable) -> float:
    """Mean tau-b between the accuracies of two trainings of the same networks.

    Args:
      path: of the published table, whose `test_acc` lists the trainings.
      table: networks of it.
    """
    entries = json.loads(path.read_text())
    trainings = np.array([entries[name]["test_acc"] for name in table.names]).T
    pairs = itertools.combinations(trainings, 2)
    return float(np.mean([kendall_tau_b(first, second) for first, second in pairs]))


def fitted_sum(table: BenchmarkTable, targets: np.ndarray) -> np.ndarray:
    """The sum over layers that fits targets best, by least squares.

    Args:
      table: N networks.
      targets: float64[N].

    Returns:
      float64[N].
    """
    ops = np.arange(table.architectures.max() + 1)
    chosen = (table.architectures[..., None] == ops).reshape(len(table), -1)
    chosen = chosen.astype(np.float64)
    return chosen @ np.linalg.lstsq(chosen, targets)[0]


if __name__ == "__main__":
    sys.exit(main())
