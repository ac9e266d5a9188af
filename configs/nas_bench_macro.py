"""DI-NAS on CIFAR-10 in the space of NAS-Bench-Macro (8 layers x 3 ops).

    difnas-jax --config=nas_bench_macro

It reads `cifar10` of TensorFlow Datasets, prepared as array_record, see
docs/own_data.md. An .npz file, which is read at once and is therefore faster, goes by
`--config.data.source=arrays --config.data.path=cifar10.npz`.

The supernet trains as in docs/evidence.md; what ranks best there for its cost is
`--config=frozen_effect:nas_bench_macro`. The found network is retrained as those of the
benchmark were: 50 epochs at batch 256, rate 0.1, weight decay 5e-4 (here on kernels
only), no label smoothing, no dropout; on the 45,000 images that are not held out.

`:size=16` makes all images 16 pixels wide. `:smoke` goes through every stage in a few
updates, on the shipped digits.
"""

from difnas_jax.config import default, parse_arg


def get_config(arg=None):
    """Arguments: `size` in pixels, `seed`, `smoke`."""
    args = parse_arg(arg, smoke=False, seed=0, size=32)
    config = default()
    config.seed = args.seed

    config.space.name = "nas_bench_macro"
    config.space.image_size = args.size
    config.space.num_classes = 10

    config.data.source = "tfds"
    config.data.name = "cifar10"
    config.data.crop_padding = args.size // 8
    config.data.flip = True
    config.data.mean = (0.4914, 0.4822, 0.4465)
    config.data.std = (0.2470, 0.2435, 0.2616)

    config.supernet.epochs = 0.0
    config.supernet.steps = 2000
    config.supernet.batch_size = config.supernet.reference_batch = 32
    config.supernet.log_every = 50
    config.supernet.checkpoint_every = 250

    # 60 M at 32 pixels.
    config.search.max_macs = 60_000_000 * args.size**2 // 32**2

    config.retrain.epochs = 50.0
    config.retrain.batch_size = config.retrain.reference_batch = 256
    config.retrain.learning_rate = 0.1
    config.retrain.weight_decay = 5e-4
    config.retrain.label_smoothing = 0.0
    config.retrain.clip_norm = 0.0
    config.retrain.dropout = 0.0
    config.retrain.evaluate_every = 1000
    if args.smoke:
        _shrink(config)
    return config


def _shrink(config):
    config.data.source = "digits"
    config.data.flip = False
    config.data.mean = config.data.std = ()
    config.method.measured_batches = 2
    for section in (config.supernet, config.retrain):
        section.epochs = 0.0
        section.steps = 8
        section.batch_size = 32
        section.log_every = 2
        section.checkpoint_every = 4
