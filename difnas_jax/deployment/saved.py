"""The network that a run retrained, in its folder."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from difnas_jax.deployment.network import TrainedNetwork
from difnas_jax.deployment.preprocessing import Preprocessing
from difnas_jax.errors import InputError, one_line, require
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.models.network import Network
from difnas_jax.models.networks import network
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.checkpoint import Checkpoints
from difnas_jax.runtime.markers import CHECKPOINTS
from difnas_jax.runtime.mesh import data_mesh, replicated
from difnas_jax.runtime.versions import versions
from difnas_jax.spaces.base import Architecture
from difnas_jax.spaces.stored import restored, stored
from difnas_jax.training.fates import fates_of, split

# Attributes of a network that are no part of its space.
OPTIONS = ("dropout", "dtype")


def folder_of(field: str, workdir: Path, rank: int = 0) -> Path:
    """Where a network that was retrained is.

    Args:
      field: that names the run, for errors.
      workdir: of the run or of a named search.
      rank: among those that were retrained, the best first.

    Raises:
      InputError: nothing was retrained, or fewer networks.
    """
    path = workdir / artifacts.RETRAIN_RESULT
    if not path.exists():
        raise InputError(
            f"{field}: expected the workdir of a run whose network is trained, {path} "
            "is missing; run its stages to the end"
        )
    trained = artifacts.load_retrained(path)
    expected = f"0 to {len(trained) - 1}, as {len(trained)} network(s) were retrained"
    require(0 <= rank < len(trained), "rank", f"{expected} (retrain.networks)", rank)
    return workdir / trained[rank].get("retrained_in", artifacts.RETRAIN)


def read(folder: Path) -> TrainedNetwork:
    """Read a network that was retrained, on the devices of this process.

    Args:
      folder: of its training, with `network.json` and `checkpoints/`.

    Raises:
      InputError: it is not there, incomplete or damaged, or of another version.
    """
    known = described(folder)
    shapes, step = variable_shapes(known.model), known.facts["steps"]
    variables = _read_variables(shapes, folder / CHECKPOINTS, step)
    return dataclasses.replace(known, variables=variables)


def described(folder: Path) -> TrainedNetwork:
    """All that `read` reads but the variables.

    Raises:
      InputError: it is not there or damaged, or of another version.
    """
    path = folder / artifacts.NETWORK
    values = files.read_checked_json(path, ("space", "facts"))
    with _of_this_version(path, values["facts"]):
        space, facts = restored(values["space"]), values["facts"]
        options = {name: values[name] for name in OPTIONS}
        model = network(space, **options, rematerialize=False)
        preprocessing = Preprocessing.restored(values["preprocessing"])
        architecture = space.validate(values["architecture"])
        if len(preprocessing.classes) != space.num_classes:
            raise ValueError(f"{len(preprocessing.classes)} classes")
        facts["steps"] = int(facts["steps"])
    return TrainedNetwork(model, {}, architecture, preprocessing, facts)


def write(
    folder: Path,
    model: Network,
    architecture: Architecture,
    preprocessing: Preprocessing,
    facts: dict[str, Any],
) -> None:
    """Write `network.json`, all that `read` reads beside a checkpoint.

    Args:
      folder: of a training of this network.
      model: of a space with one op in each layer.
      architecture: of the network.
      preprocessing: of the images.
      facts: JSON values, among them `steps`, of the checkpoint.
    """
    value = {
        "space": stored(model.space),
        "architecture": list(architecture),
        **{name: getattr(model, name) for name in OPTIONS},
        "preprocessing": dataclasses.asdict(preprocessing),
        "facts": {**facts, "versions": versions()},
    }
    files.write_checked_json(folder / artifacts.NETWORK, value)


@contextlib.contextmanager
def _of_this_version(path: Path, facts: Any) -> Iterator[None]:
    """What is whole and cannot be read is of another version: keep it."""
    try:
        yield
    except (*files.DAMAGE, InputError) as error:
        known = facts.get("versions", {}) if isinstance(facts, dict) else {}
        raise InputError(
            f"{path}: expected a network that difnas_jax {versions()['difnas_jax']} "
            f"reads, got one of {known.get('difnas_jax', 'an unknown version')} "
            f"({one_line(error)}); load it with that version"
        ) from error


def _read_variables(shapes: dict[str, Any], folder: Path, step: int) -> dict[str, Any]:
    """Those of a checkpoint of a training of all weights, on this process."""
    params = shapes["params"]
    trained = split(
        {"params": params, "batch_stats": shapes.get("batch_stats", {})},
        fates_of(params, "all", train_classifier=True),
    )
    sharding = replicated(data_mesh())
    targets = jax.tree.map(lambda leaf: leaf.update(sharding=sharding), trained)
    with Checkpoints(folder, read_only=True) as checkpoints:
        read = checkpoints.restore(step, variables=targets)["variables"]
    return jax.tree.map(np.asarray, {name: read[name] for name in shapes})
