"""The trained supernet of a workdir, as later stages read it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax import artifacts, files
from difnas_jax.checkpoint import Checkpoints
from difnas_jax.config import build_wiring
from difnas_jax.errors import InputError
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.models.networks import wired
from difnas_jax.models.supernet import Network


def trained_supernet(
    config: ConfigDict, workdir: Path
) -> tuple[Network, dict[str, Any], int]:
    """The network, its variables at the end of training, and the last step.

    The collection `batch_stats` is empty: a supernet keeps no running statistics.

    Raises:
      InputError: the supernet is not there or not trained to its end.
    """
    settings, trains_kernels = config.supernet, config.method.trainable == "all"
    model = wired(
        build_wiring(config), train_kernels=trains_kernels, dtype=settings.dtype
    )
    shapes = {"frozen": {}, **variable_shapes(model), "batch_stats": {}}
    step = files.read_json(workdir / artifacts.TRAINED, ("step",))["step"]
    folder = workdir / "supernet" / "checkpoints"
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        try:
            variables = checkpoints.restore(step, variables=shapes)["variables"]
        except InputError as error:
            raise InputError(
                f"{error}; delete {workdir / artifacts.TRAINED} and run the supernet "
                "stage again, it goes on from the checkpoint before"
            ) from error
    return model, variables, step
