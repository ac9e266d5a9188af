"""Train the same network on 1, 2 and 4 of this process's devices.

    python train_on_devices.py FOLDER

Writes `FOLDER/<devices>/metrics.jsonl`, and how the parameters changed: `change.npy`.
"""

import sys
from pathlib import Path

import jax
import numpy as np
import tiny_run
from plain_networks import initial, plain_supernet

from difnas_jax import data
from difnas_jax.config.build import build_wiring
from difnas_jax.runtime.mesh import DEVICES
from difnas_jax.training.paths import SAMPLERS
from difnas_jax.training.recipe import Recipe
from difnas_jax.training.train import train


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def train_on(count, folder):
    config = tiny_run.get_config()
    # Adam would divide differences of rounding by gradients that are nearly zero.
    config.supernet.optimizer = "sgd"
    config.method.update(trainable="all_bn", train_classifier=False)
    split, wiring = data.load(config).train, build_wiring(config)
    model = plain_supernet(wiring)
    variables = initial(model, config.seed, trainable="all_bn")
    state = train(
        model,
        {**variables, "batch_stats": {}},
        SAMPLERS["strict_fair"](wiring.sampled),
        data.TrainBatches.of(config, split, 32),
        Recipe.of_supernet(config),
        mesh=jax.sharding.Mesh(np.array(jax.devices()[:count]), (DEVICES,)),
        folder=folder,
    )
    change = flat(state.variables["params"]) - flat(variables["params"])
    np.save(folder / "change.npy", change)


if __name__ == "__main__":
    for count in (1, 2, 4):
        train_on(count, Path(sys.argv[1]) / str(count))
