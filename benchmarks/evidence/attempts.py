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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from ml_collections import ConfigDict

from benchmarks.evidence.gamma_readings import NUMBERS, READINGS, Gammas
from benchmarks.evidence.gamma_wirings import (
    Apply,
    before_exact_norm,
    before_head,
    before_norm,
    behind_head,
    behind_norm,
    budgeted,
    is_last,
    plain,
)
from difnas_jax import data
from difnas_jax.config import load_config
from difnas_jax.config.build import build_wiring
from difnas_jax.config.files import override_by_flags
from difnas_jax.errors import InputError
from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.ranking.tables import read_nas_bench_macro
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.search.additive import sum_along_paths
from difnas_jax.training.paths import stream
from difnas_jax.training.recipe import (
    build_sampler,
    build_supernet,
    initial_variables,
)

PERMUTATIONS = 50
ALIKE = ("--config.method.kernels=shared_response", "--config.method.block_scale=0.0")
PARALLEL = ("--config.method.layer_indicator=parallel",)


class Training(NamedTuple):
    """How a supernet trains.

    Attributes:
      flags: of fields of the config.
      apply: what becomes of the numbers that train beside the gammas.
      optimizer: makes it of a schedule.
      peak: its rate at the start.
      shrink: decoupled L1 on last scales, as a share of the rate.
    """

    flags: tuple[str, ...] = ()
    apply: Apply = plain
    optimizer: Callable[[Any], optax.GradientTransformation] = optax.adam
    peak: float = 0.1
    shrink: float = 0.0


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


def config_of(training: Training, flags: argparse.Namespace) -> ConfigDict:
    """Strictly batch norms only, without layer indicator."""
    config = load_config("frozen_effect:nas_bench_macro,size=16")
    config.data.update(source="arrays", path=flags.data)
    config.method.update(kernels="orthogonal", block_scale=1.0, logit_gammas=False)
    override_by_flags(config, list(training.flags))
    config.seed = flags.seed
    return config


class Trained(NamedTuple):
    """A trained supernet.

    Attributes:
      loss: the mean of the last hundred updates.
      gammas: after the last update, by name, and under `NUMBERS` float64[L, O], those
        that trained beside them, averaged over the second half of the updates.
    """

    loss: float
    gammas: Gammas


def trained(training: Training, flags: argparse.Namespace) -> Trained:
    """Train a supernet."""
    config, total = config_of(training, flags), flags.updates
    fixed = np.array([int(layer) for layer in flags.fixed.split(",") if layer], int)
    images, size = data.load(config).train, config.supernet.batch_size
    batches = data.TrainBatches.of(config, images, size)
    net, sampler = build_supernet(config), build_sampler(config)
    space = build_wiring(config).searched
    variables = initial_variables(config, net)
    params = flax.traverse_util.flatten_dict(variables.pop("params"))
    held = {leaf: params.pop(leaf) for leaf in [*params] if leaf[0] == "classifier"}
    schedule = optax.cosine_decay_schedule(training.peak, total)
    optimizers: dict[Any, Any] = {
        "gammas": training.optimizer(schedule),
        "numbers": optax.adam(0.01),
    }
    optimizer = optax.partition(optimizers, {"gammas": "gammas", "numbers": "numbers"})

    def loss(trained: Any, path: Array, batch: dict[str, Array]) -> Array:
        tree = flax.traverse_util.unflatten_dict({**trained["gammas"], **held})
        logits = training.apply(
            net, {**variables, "params": tree}, trained["numbers"], batch["image"], path
        )
        targets = optax.smooth_labels(jax.nn.one_hot(batch["label"], 10), 0.1)
        return optax.softmax_cross_entropy(logits, targets).mean()

    @jax.jit
    def update(trained: Any, state: Any, step: Any, paths: Any, batch: Any) -> Any:
        def add(total: Any, path: Array) -> tuple[Any, Array]:
            value, gradient = jax.value_and_grad(loss)(trained, path, batch)
            return jax.tree.map(jnp.add, total, gradient), value

        nothing = jax.tree.map(jnp.zeros_like, trained)
        gradients, losses = jax.lax.scan(add, nothing, paths)
        changes, state = optimizer.update(gradients, state, trained)
        trained = optax.apply_updates(trained, changes)
        least = training.shrink * schedule(step)
        gammas = {
            leaf: jnp.sign(g) * jnp.maximum(jnp.abs(g) - least, 0)
            if is_last(leaf)
            else g
            for leaf, g in trained["gammas"].items()
        }
        return {**trained, "gammas": gammas}, state, losses.mean()

    shape = space.num_layers, space.num_ops
    now: Any = {
        "gammas": jax.tree.map(jnp.asarray, params),
        "numbers": jnp.zeros(shape),
    }
    state, losses, numbers = optimizer.init(now), [], np.zeros(shape)
    for step in range(total):
        paths = sampler(stream(config.seed, "paths", step)).at[:, fixed].set(1)
        now, state, value = update(now, state, step, paths, batches[step])
        losses.append(float(value))
        if step >= total // 2:
            numbers += np.asarray(now["numbers"], np.float64) / (total - total // 2)
    gammas = {leaf: np.asarray(g, np.float64) for leaf, g in now["gammas"].items()}
    return Trained(float(np.mean(losses[-100:])), {**gammas, NUMBERS: numbers})


if __name__ == "__main__":
    sys.exit(main())
