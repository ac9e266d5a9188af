"""Stage 1: train the supernet. Writes `supernet/`: checkpoints, metrics, last step.

And what was measured on the way: the room that projected updates leave, and, where it
is asked for, the disturbance of paths.
"""

import dataclasses
import functools
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.config.build import build_wiring
from difnas_jax.data import Normalizer
from difnas_jax.data.base import Dataset
from difnas_jax.errors import InputError
from difnas_jax.models.network import Network
from difnas_jax.report.gammas import GammaViews
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.mesh import data_mesh, rounded_up
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.processes import is_main_process
from difnas_jax.training import policy_memory, programs
from difnas_jax.training.amount import Amount
from difnas_jax.training.controller import Controller
from difnas_jax.training.disturbance import Disturbance, check_fits
from difnas_jax.training.evaluate import (
    chance,
    examples_of,
    means,
    sums_of_examples,
    sums_over_paths,
)
from difnas_jax.training.measurements import Measurements
from difnas_jax.training.paths import (
    LEARNED,
    Sampler,
    stream,
    strict_fair,
)
from difnas_jax.training.recipe import (
    Recipe,
    build_sampler,
    build_supernet,
    initial_variables,
)
from difnas_jax.training.room import Room
from difnas_jax.training.train import train

MOST_EXAMPLES = 10_000  # that tell how well a supernet does


def run(config: ConfigDict, workdir: Path) -> None:
    """Train what the method trains, on sampled paths, with batch statistics."""
    dataset, model = data.load(config), build_supernet(config)
    recipe = Recipe.of_supernet(config)
    batches = data.TrainBatches.of(config, dataset.train, config.supernet.batch_size)
    normalizer = batches.normalizer
    variables = initial_variables(config, model)
    params = variables["params"]
    sampler = _sampler(config, model, params, dataset, normalizer)
    amount = Amount.of_supernet(config, len(dataset.train))
    check_fits(config, amount.updates)
    measurements = _measurements(config, model, params, dataset, normalizer, workdir)
    state = train(
        model=model,
        variables=variables,
        sampler=sampler,
        batches=batches,
        recipe=recipe,
        mesh=data_mesh(),
        folder=workdir / "supernet",
        measurements=measurements,
    )
    _check_written(measurements, workdir)
    measured = accuracy(config, model, state.variables, dataset, normalizer)
    seen = int(state.step) * amount.images
    if is_main_process():
        result = {
            "step": int(state.step),
            "images": seen,  # through a path
            "epochs": seen / len(dataset.train),
            # It tells one training from another.
            "checksum": _checksum(state.variables["params"]),
            **measured,
            **policy_memory.in_words(model.space, state.memory),
        }
        files.write_json(workdir / artifacts.SUPERNET_RESULT, result)


def _sampler(
    config: ConfigDict,
    model: Network,
    params: Any,
    dataset: Dataset[data.Examples],
    normalizer: Normalizer,
) -> Sampler:
    """The sampler of the config, with its controller where it draws from a policy."""
    sampler = build_sampler(config)
    if config.method.sampling not in LEARNED:
        return sampler
    learn = Controller.of(config, model, params, dataset, normalizer, data_mesh())
    return dataclasses.replace(sampler, learn=learn)


def _measurements(
    config: ConfigDict,
    model: Network,
    params: Any,
    dataset: Dataset[data.Examples],
    normalizer: Normalizer,
    workdir: Path,
) -> Measurements:
    """What the config asks to be measured in the course of the training."""
    disturbance = None
    if config.supernet.disturbance_every:
        path = workdir / artifacts.DISTURBANCE
        disturbance = Disturbance.of_supernet(
            config, model, params, dataset, normalizer, path
        )
    recipe, path = Recipe.of_supernet(config), workdir / artifacts.ROOM
    room = Room.of_supernet(recipe, params, path)
    views = GammaViews(build_wiring(config).searched)
    return Measurements(disturbance=disturbance, room=room, views=views)


def _check_written(measurements: Measurements, workdir: Path) -> None:
    """Refuse a training that is over and whose measurements are gone.

    Raises:
      InputError: naming the file.
    """
    for one in filter(None, (measurements.disturbance, measurements.room)):
        if not one.path.exists():
            raise InputError(
                f"{one.path}: expected what the training measured, got no file, and "
                f"the training is over; delete {workdir / 'supernet'} to train again"
            )


def accuracy(
    config: ConfigDict,
    model: Network,
    variables: dict[str, Any],
    dataset: Dataset[data.Examples],
    normalizer: Normalizer,
) -> dict[str, Any]:
    """How well the trained supernet does on strictly fair paths.

    Returns:
      `accuracy` (0 to 1, mean over paths and images, with the statistics of each
      batch) and, of 10 classes or more, `top5_accuracy`; `split` (`validation`, or
      `train` where nothing is held out), how many `examples` of it were read, and
      `chance`, the share of their largest class.
    """
    name, examples = examples_of(dataset, MOST_EXAMPLES)
    # `supernet.placement` may need no multiple of the devices; this does.
    batch_size = rounded_up(config.supernet.batch_size)
    sums = sums_of_examples(
        programs.of_network(
            functools.partial(sums_over_paths, model),
            variables["params"],
            title="supernet",
            name="the accuracy of paths",
            model=model,
            batch_size=batch_size,
        ),
        variables,
        examples,
        path=jax.jit(strict_fair(model.space))(stream(config.seed, "accuracy", 0)),
        batch_size=batch_size,
        normalizer=normalizer,
        mesh=data_mesh(),
    )
    found = means(sums)
    by_chance = chance(sums)
    say(f"supernet: accuracy {found['accuracy']:.2%} on {name}, chance {by_chance:.2%}")
    del found["loss"]
    return {**found, "examples": len(examples), "split": name, "chance": by_chance}


def _checksum(tree: Any) -> str:
    """Of the bytes of all leaves."""
    value = 0
    for leaf in jax.tree.leaves(tree):
        value = zlib.crc32(np.asarray(leaf).tobytes(), value)
    return f"{value:08x}"
