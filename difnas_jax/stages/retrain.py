"""Stage 4: train the found network from scratch. Writes `retrain/`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.config.build import build_space, given_architecture
from difnas_jax.models.initializers import initialize
from difnas_jax.models.networks import network
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.mesh import data_mesh
from difnas_jax.runtime.processes import is_main_process
from difnas_jax.spaces.base import Architecture
from difnas_jax.spaces.costs import cost_table
from difnas_jax.training.eval_steps import make_eval_step
from difnas_jax.training.evaluate import evaluate
from difnas_jax.training.paths import fixed
from difnas_jax.training.train import train


def run(config: ConfigDict, workdir: Path) -> None:
    """Train all weights; the test split is read once, at the end."""
    start = time.monotonic()
    settings, space = config.retrain, build_space(config)
    architecture = chosen_architecture(config, workdir)
    model = network(
        space.cut(architecture),
        train_kernels=True,
        dropout=settings.dropout,
        dtype=settings.dtype,
        rematerialize=settings.rematerialize,
    )
    dataset, mesh = data.load(config), data_mesh()
    normalizer = data.Normalizer.of(config, dataset.train)
    eval_step = jax.jit(make_eval_step(model))

    def measure(variables: dict[str, Any], split: data.Examples) -> dict[str, float]:
        return evaluate(
            eval_step,
            variables,
            split,
            architecture,
            batch_size=settings.batch_size,
            normalizer=normalizer,
            mesh=mesh,
        )

    def validate(variables: dict[str, Any]) -> dict[str, float]:
        result = measure(variables, dataset.validation)
        return {f"validation_{name}": result[name] for name in ("accuracy", "loss")}

    state = train(
        model,
        initialize(model, config.seed, kernels=settings.kernels),
        fixed(architecture),
        data.TrainBatches.of(config, dataset.train, normalizer, settings.batch_size),
        settings,
        trainable="all",
        batch_of_paths="same",
        mesh=mesh,
        folder=workdir / "retrain",
        evaluate=validate,
        evaluate_every=settings.evaluate_every,
    )
    test = measure(state.variables, dataset.test)
    result = {
        "architecture": list(architecture),
        "ops": list(space.op_names(architecture)),
        **cost_table(space).of_one(architecture),
        "steps": int(state.step),
        **validate(state.variables),
        "test_accuracy": test["accuracy"],
        "test_loss": test["loss"],
        "test_examples": int(test["examples"]),
        "seed": config.seed,
        "seconds": time.monotonic() - start,
    }
    if is_main_process():
        files.write_json(workdir / artifacts.RETRAIN_RESULT, result)


def chosen_architecture(config: ConfigDict, workdir: Path) -> Architecture:
    """What the config gives, or else what the search found."""
    given = given_architecture(config)
    if given is not None:
        return given
    best = artifacts.FoundNetwork.load(workdir / artifacts.BEST, build_space(config))
    return best.architecture
