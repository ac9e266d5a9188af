"""Stage 4: train the found networks from scratch. Writes `retrain/`."""

import dataclasses
import functools
import time
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.config.build import build_space, flat, given_architecture
from difnas_jax.deployment import saved
from difnas_jax.deployment.preprocessing import Preprocessing
from difnas_jax.deployment.teacher import (
    keep_description,
    teacher,
    teacher_facts,
    teacher_folder,
)
from difnas_jax.models.networks import network
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.artifacts import FoundNetwork
from difnas_jax.runtime.mesh import data_mesh
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.processes import is_main_process
from difnas_jax.scoring.reliability import doubts_about_accuracy
from difnas_jax.scoring.weights import WEIGHTS
from difnas_jax.spaces.costs import cost_table
from difnas_jax.training import programs
from difnas_jax.training.evaluate import (
    chance,
    means,
    sums_and_labels,
    sums_of_examples,
)
from difnas_jax.training.fates import split
from difnas_jax.training.measurements import Measurements
from difnas_jax.training.paths import fixed
from difnas_jax.training.recipe import Recipe
from difnas_jax.training.train import train


def run(config: ConfigDict, workdir: Path) -> None:
    """Train the network that the config gives or the search found, or several found.

    Several are trained one after another, each in a folder of its own; the one of the
    best validation accuracy is the result, and of equal ones that of the higher score.
    """
    if is_main_process():
        keep_description(config, workdir)
    if config.retrain.networks == 1:
        retrain_network(
            config, chosen_network(config, workdir), workdir, artifacts.RETRAIN
        )
        return
    kept = FoundNetwork.load_kept(workdir / artifacts.BEST, build_space(config))
    chosen, results = kept[: config.retrain.networks], []
    for number, found in enumerate(chosen, start=1):
        folder = f"{artifacts.RETRAIN_NETWORKS}/network-{number}"
        say(f"retrain: network {number} of {len(chosen)}, {found.text}")
        result = result_in(workdir / folder) or retrain_network(
            config, found, workdir, folder
        )
        results.append({**result, "score": found.score, "retrained_in": folder})
    best, *others = sorted(results, key=lambda result: -result["validation_accuracy"])
    if is_main_process():
        result = {**best, "runners_up": others}
        files.write_json(workdir / artifacts.RETRAIN_RESULT, result)


def result_in(folder: Path) -> dict[str, Any]:
    """The result of a network that an earlier session trained to its end, or {}.

    Raises:
      InputError: a damaged file.
    """
    path = folder / "result.json"
    if not path.exists():
        return {}
    say(f"retrain: {folder.name} is complete, skipped")
    return files.read_json(path, ("architecture", "validation_accuracy"))


def retrain_network(
    config: ConfigDict, found: FoundNetwork, workdir: Path, folder: str
) -> dict[str, Any]:
    """Train all weights of a network; the test split is read once, at the end.

    Args:
      config: of the run.
      found: the network.
      workdir: of the run.
      folder: in it, of its checkpoints, metrics and result, and of what else it takes
        to use the network (see `deployment.saved`).

    Returns:
      What `result.json` holds; nothing of validation where there is no such split.
    """
    start, own = time.monotonic(), workdir / folder
    settings, space = config.retrain, build_space(config)
    architecture = found.architecture
    model = network(
        space.cut(architecture),
        dropout=settings.dropout,
        dtype=settings.dtype,
        rematerialize=settings.rematerialize,
    )
    variables = WEIGHTS[settings.weights].begin(config, workdir, model)
    dataset, said_of_teacher = data.load(config), teacher_facts(config)
    batches = data.TrainBatches.of(config, dataset.train, settings.batch_size)
    recipe = _recipe(config, batches.normalizer)
    measure = functools.partial(
        sums_of_examples,
        programs.of_network(
            functools.partial(sums_and_labels, model),
            variables["params"],
            title=own.name,
            name="the evaluation",
            model=model,
            batch_size=settings.batch_size,
        ),
        path=architecture,
        batch_size=settings.batch_size,
        normalizer=batches.normalizer,
        mesh=data_mesh(),
    )

    def validate(variables: dict[str, Any]) -> dict[str, float]:
        if dataset.validation is None:
            return {}
        result = means(measure(variables, dataset.validation))
        del result["examples"]
        return {f"validation_{name}": value for name, value in result.items()}

    state = train(
        model=model,
        variables=split(variables, recipe.fates(variables["params"])),
        sampler=fixed(architecture),
        batches=batches,
        recipe=recipe,
        mesh=data_mesh(),
        folder=own,
        measurements=Measurements(evaluate=validate),
    )
    result = {
        "architecture": list(architecture),
        "ops": list(space.op_names(architecture)),
        **cost_table(space).of_one(architecture),
        "steps": int(state.step),
        **validate(state.variables),
        **_tested(own.name, measure(state.variables, dataset.test)),
        "classes": list(dataset.classes),  # of what the network says, in its order
        **said_of_teacher,
        "seed": config.seed,
        "seconds": time.monotonic() - start,
    }
    result["warnings"] += said_of_teacher.get("teacher", {}).get("warnings", [])
    if is_main_process():
        saved.write(
            own,
            model=model,
            architecture=architecture,
            preprocessing=Preprocessing.of(config, batches.normalizer, dataset.classes),
            facts={
                **result,
                "found": dataclasses.asdict(found),
                "config": flat(config, ("data", "retrain")),
                "images": {role: len(split) for role, split in dataset.splits()},
            },
        )
        files.write_json(own / "result.json", result)
    return result


def _recipe(config: ConfigDict, normalizer: data.Normalizer) -> Recipe:
    """How the network trains, by a teacher where the config names one."""
    recipe, folder = Recipe.of_retraining(config), teacher_folder(config)
    if folder is None:
        return recipe
    return dataclasses.replace(recipe, teach=teacher(config, normalizer, folder))


def _tested(title: str, sums: dict[str, np.ndarray]) -> dict[str, Any]:
    """The result on the test split; a warning, also printed, if chance explains it."""
    test, share = means(sums), chance(sums)
    accuracy, examples = test["accuracy"], int(test.pop("examples"))
    say(f"{title}: accuracy {accuracy:.2%} on test, chance {share:.2%}")
    of_test = {"accuracy": accuracy, "examples": examples, "chance": share}
    warnings = doubts_about_accuracy(
        {**of_test, "split": "test"}, "network", "it may have learnt nothing"
    )
    for warning in warnings:
        say(f"{title}: warning: {warning}")
    return {
        **{f"test_{name}": value for name, value in test.items()},
        "test_examples": examples,
        "test_chance": share,
        "warnings": warnings,
    }


def chosen_network(config: ConfigDict, workdir: Path) -> FoundNetwork:
    """What the config gives, or else what the search found."""
    architecture, space = given_architecture(config), build_space(config)
    if architecture is None:
        return FoundNetwork.load(workdir / artifacts.BEST, space)
    return FoundNetwork(
        space=space.name,
        architecture=architecture,
        ops=space.op_names(architecture),
        text=space.text(architecture),
        score=None,
        costs=cost_table(space).of_one(architecture),
        budget={},
        seed=config.seed,
        provenance={},
    )
