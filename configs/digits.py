"""The demo: DI-NAS on the 1,797 shipped 8x8 digits, resized to 16x16.

difnas-jax --config=digits
"""

from difnas_jax.config import default, parse_arg


def get_config(arg=None):
    """Arguments: `seed`, `smoke` (a few updates of every stage)."""
    args = parse_arg(arg, smoke=False, seed=0)
    config = default()
    config.seed = args.seed

    config.space.name = "digits"
    config.space.image_size = 16
    config.space.image_channels = 1
    config.space.num_classes = 10

    config.data.source = "digits"
    config.data.crop_padding = 1

    config.supernet.batch_size = 64
    config.supernet.epochs = 0.0
    config.supernet.steps = 4 if args.smoke else 1000
    config.supernet.reference_batch = 64
    config.supernet.learning_rate = 0.1
    config.supernet.log_every = 100
    config.supernet.checkpoint_every = 250

    config.search.max_macs = 2_000_000
    # Scores by accuracy: half of the 1,293 training images, 64 at once.
    config.search.recalibration_batches = 10
    config.search.recalibration_batch_size = 64
    if args.smoke:
        config.method.measured_batches = 2
        config.search.generations = 2

    config.retrain.batch_size = 64
    config.retrain.epochs = 0.0
    config.retrain.steps = 4 if args.smoke else 600
    config.retrain.reference_batch = 64
    config.retrain.learning_rate = 0.1
    config.retrain.log_every = 100
    config.retrain.evaluate_every = 100
    config.retrain.checkpoint_every = 200
    return config
