"""Attempts to rank networks by learned gammas alone, see ATTEMPTS.md.

    python -m benchmarks.evidence.attempts --data=cifar10.npz \
        --table=nas_bench_macro_half.json [NUMBER ...]

Each trains a supernet of NAS-Bench-Macro at 16 pixels whose kernels and classifier are
fixed, and prints tau-b of its score with the accuracies of the table, and the same
after its numbers were permuted within layers. The programs of this project train what
they offer; what was tried once and discarded is here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optax

from benchmarks.evidence.attempt_training import Trained, Training, trained
from benchmarks.evidence.gamma_readings import NUMBERS, READINGS
from benchmarks.evidence.gamma_wirings import (
    before_exact_norm,
    before_head,
    before_norm,
    behind_head,
    behind_norm,
    budgeted,
)
from difnas_jax.errors import InputError
from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.ranking.tables import read_nas_bench_macro
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.search.additive import sum_along_paths

PERMUTATIONS = 50
ALIKE = ("--config.method.kernels=shared_response", "--config.method.block_scale=0.0")
PARALLEL = ("--config.method.layer_indicator=parallel",)
AS_IT_IS = Training()
# By number: what is read, a key of `READINGS`, and of which training.
ATTEMPTS: dict[str, tuple[str, Training]] = {
    "1": ("numbers", Training(apply=behind_head)),
    "2": ("numbers", Training(apply=before_head)),
    "3": ("moved", AS_IT_IS),
    "4": ("moved squared", Training(optimizer=optax.sgd, peak=1.0)),
    "5": ("last summed", Training(("--config.method.block_scale=0.0",))),
    "6": ("growth", AS_IT_IS),
    "7": ("last summed", Training(shrink=0.1)),
    "8": ("log shares", Training(apply=budgeted)),
    "9": ("switched off", AS_IT_IS),
    "10": ("variance share", Training(PARALLEL)),
    "11": (
        "variance share",
        Training((*PARALLEL, "--config.method.activation=tanh")),
    ),
    "12": ("moved", Training(("--config.method.kernels=looks_linear",))),
    "13": ("numbers", Training(ALIKE, behind_norm)),
    "14": ("numbers", Training(ALIKE, before_norm)),
    "17": ("numbers", Training(ALIKE, before_exact_norm)),
    "15": ("logits", Training((*ALIKE, "--config.method.logit_gammas=true"))),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    return exit_code(lambda: _run(_flags(argv)))


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.evidence.attempts")
    parser.add_argument("numbers", nargs="*", metavar="NUMBER")
    parser.add_argument("--data", required=True, metavar="FILE")
    parser.add_argument("--table", required=True, type=Path, metavar="FILE")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--fixed", default="", metavar="LAYER,...", help="that take op 1 in training"
    )
    return parser.parse_args(argv)


def _run(flags: argparse.Namespace) -> None:
    if unknown := [number for number in flags.numbers if number not in ATTEMPTS]:
        known = ", ".join(ATTEMPTS)
        raise InputError(f"NUMBER: expected some of {known}; got {', '.join(unknown)}")
    table = read_nas_bench_macro(flags.table)
    table = table[table.first_of_network]
    paths = table.space.canonical(table.architectures)
    rng = np.random.default_rng(0)

    def tau(values: np.ndarray) -> float:
        return kendall_tau_b(sum_along_paths(values, paths), table.accuracies)

    done: dict[Training, Trained] = {}
    for number in flags.numbers or ATTEMPTS:
        reading, training = ATTEMPTS[number]
        if training not in done:
            done[training] = trained(training, flags)
        found = done[training]
        values = READINGS[reading](found.gammas, table.space)
        mixed = [tau(rng.permuted(values, axis=1)) for _ in range(PERMUTATIONS)]
        say(
            f"attempt {number}: tau-b {tau(values):.3f}, permuted "
            f"{np.mean(mixed):.3f}; loss {found.loss:.3f}, largest number "
            f"{np.abs(found.gammas[NUMBERS]).max():.2g}"
        )


if __name__ == "__main__":
    sys.exit(main())
