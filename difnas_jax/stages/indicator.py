"""Stage 2: read the indicator off the supernet. Writes `indicator.npz`."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax import artifacts, files
from difnas_jax.checkpoint import Checkpoints
from difnas_jax.config import build_wiring
from difnas_jax.distributed import is_main_process
from difnas_jax.errors import InputError
from difnas_jax.indicators import bn_indicator
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.models.networks import wired


def run(config: ConfigDict, workdir: Path) -> None:
    """Score every candidate of every layer from the last supernet checkpoint.

    Raises:
      InputError: the supernet is not there or not trained to its end.
    """
    method, wiring = config.method, build_wiring(config)
    model = wired(wiring, train_kernels=method.trainable == "all")
    shapes = {"frozen": {}, **variable_shapes(model), "batch_stats": {}}
    step = files.read_json(workdir / artifacts.TRAINED, ("step",))["step"]
    folder = workdir / "supernet" / "checkpoints"
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        if checkpoints.latest() != step:
            raise InputError(
                f"{folder}: expected the checkpoint of the last step, {step}, found "
                f"{checkpoints.latest()}; delete {workdir / artifacts.TRAINED} and run "
                "the supernet stage again"
            )
        variables = checkpoints.restore(variables=shapes)["variables"]
    table, gammas = bn_indicator(variables["params"], wiring.searched)
    provenance = {
        "space": config.space.to_dict(),
        "method": config.method.to_dict(),
        "data": config.data.source,
        "seed": config.seed,
        "supernet_step": step,
        "versions": artifacts.versions(),
    }
    if is_main_process():
        indicator = artifacts.Indicator(table, gammas, provenance)
        indicator.save(workdir / artifacts.INDICATOR)
