"""DI-NAS over the space of NAS-Bench-Macro on CIFAR-10.

    python -m difnas_jax.main --config=configs/nas_bench_macro.py \
        --config.data.path=cifar10.npz

`:size=16` trains the supernet and the found network on images of 16 pixels. The found
network is retrained as those of the benchmark were: 50 epochs, batch 256, SGD with
momentum at 0.1 falling by a cosine, weight decay 5e-4, crop and flip, no smoothing.
"""

from difnas_jax.config import default
from difnas_jax.overrides import parse_arg


def get_config(arg=None):
    """Arguments: `size` in pixels, `seed`, `smoke` (a few updates, on the digits)."""
    args = parse_arg(arg, smoke=False, seed=0, size=32)
    config = default()
    config.seed = args.seed
    config.space.name = "nas_bench_macro"
    config.space.image_size = args.size
    config.space.num_classes = 10
    config.data.crop_padding = args.size // 8
    config.data.flip = True

    config.supernet.epochs = 0.0
    config.supernet.steps = 2000
    config.supernet.batch_size = 32
    config.supernet.reference_batch = 32
    config.supernet.log_every = 50
    config.supernet.checkpoint_every = 250

    # The part of the test set's 60 M that 32 pixels cost.
    config.search.max_macs = 60_000_000 * args.size**2 // 32**2

    config.retrain.epochs = 50.0
    config.retrain.batch_size = 256
    config.retrain.reference_batch = 256
    config.retrain.learning_rate = 0.1
    config.retrain.weight_decay = 5e-4
    config.retrain.clip_norm = 0.0
    config.retrain.label_smoothing = 0.0
    config.retrain.dropout = 0.0
    config.retrain.evaluate_every = 1000
    if args.smoke:
        _shrink(config)
    return config


def _shrink(config):
    config.space.image_size = 16
    config.data.source = "digits"
    config.data.flip = False
    config.data.crop_padding = 0
    config.search.max_macs = 15_000_000
    config.retrain.epochs = 0.0
    for section in (config.supernet, config.retrain):
        section.steps = 4
        section.batch_size = 32
        section.log_every = 2
        section.checkpoint_every = 2
