"""Kernels that are drawn again while batch norms go on training.

    python -m benchmarks.evidence.redraw --data=cifar10.npz \
        --table=nas_bench_macro_half.json --every=0,500,100

Does one supernet whose frozen kernels are redrawn every so many updates average over
draws, as several supernets do? For each number of updates it trains `frozen_effect` at
16 pixels and prints the loss and accuracy of the last tenth of the updates, and tau-b
of the main effects of the second half. 0 redraws nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.evidence.indicator_tables import summed
from difnas_jax import data
from difnas_jax.config import load_config
from difnas_jax.config.build import build_wiring
from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.ranking.tables import BenchmarkTable, read_nas_bench_macro
from difnas_jax.runtime.mesh import data_mesh
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.scoring.indicators import Evidence, main_effect
from difnas_jax.training import train
from difnas_jax.training.paths import stream
from difnas_jax.training.recipe import (
    Recipe,
    build_sampler,
    build_supernet,
    initial_variables,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code."""
    return exit_code(lambda: _run(_flags(argv)))


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.evidence.redraw")
    parser.add_argument("--data", required=True, metavar="FILE")
    parser.add_argument("--table", required=True, type=Path, metavar="FILE")
    parser.add_argument("--every", default="0,500,100", metavar="N,N,...")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def _run(flags: argparse.Namespace) -> None:
    config = load_config("frozen_effect:nas_bench_macro,size=16")
    config.data.update(source="arrays", path=flags.data)
    config.seed, config.supernet.steps = flags.seed, flags.updates
    table = read_nas_bench_macro(flags.table)
    for every in [int(word) for word in flags.every.split(",")]:
        say(f"redrawn every {every} updates: {_trained(config, table, every)}")


def _trained(config: ConfigDict, table: BenchmarkTable, every: int) -> str:
    """Train, and say how well the supernet learns and ranks."""
    total, mesh = config.supernet.steps, data_mesh()
    images, size = data.load(config).train, config.supernet.batch_size
    batches = data.TrainBatches.of(config, images, size)
    model, recipe = build_supernet(config), Recipe.of_supernet(config)
    sampler = build_sampler(config)
    variables = initial_variables(config, model)
    state, step, _ = train.begin(model, variables, sampler, recipe, mesh, total)
    measured, paths = [], []
    for number in range(total):
        if every and number and number % every == 0:
            again = config.copy_and_resolve_references()
            again.seed = config.seed + 1000 * (number // every)
            drawn = initial_variables(again, model)["frozen"]
            frozen = jax.tree.map(jax.device_put, drawn)
            state = state.replace(variables={**state.variables, "frozen": frozen})
        paths.append(np.asarray(sampler(stream(config.seed, "paths", number))))
        state, metrics = step(state, batches[number], paths[-1])
        measured.append([float(metrics["loss"]), float(metrics["accuracy"])])
    loss, accuracy = np.mean(measured[-total // 10 :], axis=0)
    space = build_wiring(config).searched
    memory = jax.tree.map(np.asarray, state.memory)
    values = main_effect(Evidence({}, np.stack(paths), memory, space))
    networks = table[table.first_of_network]
    tau = kendall_tau_b(summed(values, networks, space), networks.accuracies)
    return f"loss {loss:.3f}, accuracy {accuracy:.1%}, tau-b {tau:.3f}"


if __name__ == "__main__":
    sys.exit(main())
