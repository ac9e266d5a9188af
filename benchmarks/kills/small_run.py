"""The run that `benchmarks.kills` kills: all stages, with a space of two layers."""

import dataclasses

from difnas_jax import spaces
from difnas_jax.config import default, parse_arg
from difnas_jax.spaces.image import ImageLayer


def space(**images):
    """The first layers of `digits`, of two and three ops."""
    whole = spaces.mobilenet.digits(**images)
    layers = (ImageLayer(16, 24, 2, ops=(0, 1)), ImageLayer(24, 24, 1, ops=(0, 1, 6)))
    return dataclasses.replace(whole, name="kills", layers=layers)


spaces.SPACES["kills"] = space


def get_config(arg=None):
    """Arguments: `seed`, `steps` of either training."""
    args = parse_arg(arg, seed=0, steps=16)
    config = default()
    config.seed = args.seed
    config.space.update(name="kills", image_size=8, image_channels=1, num_classes=10)
    config.data.source = "digits"
    config.data.crop_padding = 1
    for section in (config.supernet, config.retrain):
        section.update(epochs=0.0, steps=args.steps, batch_size=32)
        section.update(log_every=4, checkpoint_every=4)
    config.retrain.evaluate_every = 8
    config.search.update(generations=6, population=8, parents=4)
    config.search.update(mutations=4, crossovers=4, recalibration_batches=2)
    return config
