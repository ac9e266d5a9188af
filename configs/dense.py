"""Fully connected networks on the digits; run it as baselines/eigennas:dense.

difnas-jax --config=baselines/eigennas:dense

The space has no batch norms: methods that train all weights fit it, as
main_effect:dense does, and DI-NAS, which reads batch norms, does not.
"""

from difnas_jax.config import default, parse_arg


def get_config(arg=None):
    """Arguments: `seed`, `smoke` (a few updates of every stage)."""
    args = parse_arg(arg, smoke=False, seed=0)
    config = default()
    config.seed = args.seed

    config.space.name = "dense"
    config.space.image_size = 8
    config.space.image_channels = 1
    config.space.num_classes = 10

    config.data.source = "digits"

    config.supernet.batch_size = 64
    config.supernet.epochs = 0.0
    config.supernet.steps = 4 if args.smoke else 1000
    config.supernet.reference_batch = 64
    config.supernet.learning_rate = 0.01

    config.search.recalibration_batch_size = 64
    if args.smoke:
        config.search.generations = 2

    # Adam: the best rate of SGD is the inverse of the largest eigenvalue of the kernel,
    # which differs by orders of magnitude between networks.
    config.retrain.optimizer = "adam"
    config.retrain.batch_size = 64
    config.retrain.epochs = 0.0
    config.retrain.steps = 4 if args.smoke else 600
    config.retrain.reference_batch = 64
    config.retrain.learning_rate = 0.03
    config.retrain.weight_decay = 0.0
    config.retrain.dropout = 0.0
    config.retrain.log_every = 100
    config.retrain.evaluate_every = 100
    config.retrain.checkpoint_every = 200
    return config
