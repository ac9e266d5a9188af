"""The supernet of a config, and its trained state, read from a workdir."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from difnas_jax.config.build import build_wiring, supernet_workdir
from difnas_jax.errors import InputError
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.models.network import Network
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.checkpoint import Checkpoints
from difnas_jax.runtime.mesh import data_mesh, replicated
from difnas_jax.scoring.indicators import Evidence
from difnas_jax.training.fates import split
from difnas_jax.training.paths import stream
from difnas_jax.training.recipe import Memory, Recipe, build_sampler, build_supernet


@dataclasses.dataclass(frozen=True)
class TrainedSupernet:
    """A trained supernet.

    Attributes:
      model: the network.
      variables: at the end of training; `batch_stats` is empty, for a supernet keeps no
        running statistics.
      memory: what its training remembers, see `training.recipe`.
      step: T, updates done.
    """

    model: Network
    variables: dict[str, Any]
    memory: Memory
    step: int


def trained_supernet(config: ConfigDict, workdir: Path) -> TrainedSupernet:
    """Read the last checkpoint of the supernet stage.

    Raises:
      InputError: the supernet is not there or not trained to its end.
    """
    workdir = supernet_workdir(config, workdir)
    model, recipe = build_supernet(config), Recipe.of_supernet(config)
    step = files.read_json(workdir / artifacts.SUPERNET_RESULT, ("step",))["step"]
    sampler = build_sampler(config)
    params = variable_shapes(model)["params"]
    variables = split({"params": params, "batch_stats": {}}, recipe.fates(params))
    # What is stored depends on the parameters that train, those left in `params`.
    trained = variables["params"]
    memory = jax.eval_shape(lambda: recipe.memory_before(trained, step, sampler))
    targets = {"variables": variables, **({"memory": memory} if memory else {})}
    # Restore onto the devices of this run, whichever wrote the checkpoint.
    sharding = replicated(data_mesh())
    targets = jax.tree.map(lambda leaf: leaf.update(sharding=sharding), targets)
    folder = workdir / artifacts.SUPERNET_CHECKPOINTS
    with Checkpoints(folder, read_only=True) as checkpoints:
        try:
            parts = checkpoints.restore(step, **targets)
        except InputError as error:
            raise InputError(
                f"{error}; delete {workdir / artifacts.SUPERNET_RESULT} and run the "
                "supernet stage again, which continues from the checkpoint before"
            ) from error
    memory = jax.tree.map(np.asarray, parts.get("memory", {}))
    return TrainedSupernet(model, parts["variables"], memory, step)


def evidence_of(config: ConfigDict, trained: TrainedSupernet) -> Evidence:
    """What indicators read."""
    wiring = build_wiring(config)
    return Evidence(
        params=trained.variables["params"],
        paths=_paths(config, trained.step),
        memory=trained.memory,
        space=wiring.searched,
        always_on=wiring.parallel,
    )


def _paths(config: ConfigDict, steps: int) -> np.ndarray:
    """int32[T, K, L], the paths of all updates, drawn again from their stream.

    T is 0 where they followed from what was learned, too: `checks` refuses what needs
    them.
    """
    sampler = build_sampler(config)
    steps = 0 if sampler.memory else steps
    draw = jax.jit(jax.vmap(lambda step: sampler(stream(config.seed, "paths", step))))
    return np.asarray(draw(jnp.arange(steps)))
