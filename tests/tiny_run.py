"""A config of seconds for runs in processes of their own: two layers at 8x8."""

import dataclasses

from difnas_jax import spaces
from difnas_jax.config import default
from difnas_jax.runtime import failures
from difnas_jax.spaces.base import IDENTITY, Op
from difnas_jax.spaces.image import ImageLayer
from difnas_jax.spaces.mobilenet import digits

# A process that has died is not waited for as long as one on a busy pod.
failures.GRACE_SECONDS = 8.0


def two_layers(**images):
    space = digits(**images)
    return dataclasses.replace(
        space,
        name="two_layers",
        stem_channels=8,
        fixed=(dataclasses.replace(space.fixed[0], in_channels=8, out_channels=8),),
        ops=(Op("k3e3", "inverted_residual", 3, 3), IDENTITY),
        layers=(ImageLayer(8, 12, 2, ops=(0,)), ImageLayer(12, 12, 1, ops=(0, 1))),
        head_channels=16,
    )


def get_config(arg=None):
    spaces.SPACES["two_layers"] = two_layers
    config = default()
    config.space.name = "two_layers"
    config.space.image_size, config.space.image_channels = 8, 1
    config.space.num_classes = 10
    config.data.source = "digits"
    config.data.crop_padding = 1
    # Adam makes as much of a small gradient as of a large one, and so of a rounding.
    config.supernet.optimizer = "sgd"
    # The score that needs all devices in the search, too.
    config.method.update(score="accuracy", layer_indicator="plain")
    config.search.references = ()
    config.search.generations, config.search.population = 2, 4
    config.search.parents = config.search.mutations = config.search.crossovers = 2
    config.search.recalibration_batches = 2
    config.search.recalibration_batch_size = 64
    for section in (config.supernet, config.retrain):
        section.epochs, section.steps, section.batch_size = 0.0, 4, 32
        section.reference_batch, section.learning_rate = 32, 0.1
        section.log_every, section.checkpoint_every = 1, 4
    return config
