"""Stage 4: train the found network from scratch. Writes `retrain/`."""

import functools
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
from difnas_jax.training.evaluate import evaluate, sums_of_batch
from difnas_jax.training.fates import split
from difnas_jax.training.paths import fixed
from difnas_jax.training.recipe import Recipe
from difnas_jax.training.train import train


def run(config: ConfigDict, workdir: Path) -> None:
    """Train all weights; the test split is read once, at the end."""
    start = time.monotonic()
    settings, space = config.retrain, build_space(config)
    architecture = chosen_architecture(config, workdir)
    model = network(
        space.cut(architecture),
        dropout=settings.dropout,
        dtype=settings.dtype,
        rematerialize=settings.rematerialize,
    )
    recipe = Recipe.of_retraining(config)
    kernels, depthwise = settings.kernels, settings.depthwise
    variables = initialize(model, config.seed, kernels=kernels, depthwise=depthwise)
    dataset, mesh = data.load(config), data_mesh()
    normalizer = data.Normalizer.of(config, dataset.train)

    measure = functools.partial(
        evaluate,
        jax.jit(functools.partial(sums_of_batch, model)),
        path=architecture,
        batch_size=settings.batch_size,
        normalizer=normalizer,
        mesh=mesh,
    )

    def validate(variables: dict[str, Any]) -> dict[str, float]:
        result = measure(variables, dataset.validation)
        return {f"validation_{name}": result[name] for name in ("accuracy", "loss")}

    state = train(
        model=model,
        variables=split(variables, recipe.fates(variables["params"])),
        sampler=fixed(architecture),
        batches=data.TrainBatches.of(
            config, dataset.train, normalizer, settings.batch_size
        ),
        recipe=recipe,
        mesh=mesh,
        folder=workdir / "retrain",
        evaluate=validate,
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
