"""DI-NAS on ImageNet at 224 pixels, in the space of MobileNetV2 blocks.

    difnas-jax --config=mbv2 --config.data.path=DATA_DIR

DATA_DIR holds `imagenet2012` of TensorFlow Datasets, prepared as array_record, see
docs/own_data.md. A tree of JPEG files is read with `--config.data.source=folder
--config.data.path=ROOT --config.data.test_split=val`. A tenth of train is held out for
validation, and the validation split of ImageNet is the test.

The supernet trains for 120 epochs (table 1; an epoch is one pass of every image through
one path), the search is that of SPOS under 475 M MACs, the found network is retrained
for 240 epochs. Not run at full size.

`:paper` is the recipe of the paper, which takes it from BN-NAS: SGD at 0.25 for 512
images with cosine annealing, and no validation split: all of train trains, and the test
is read once, at the end. Differs from the paper without it: Adam, with which the same
supernet learns at 32 pixels; there the paper's recipe stayed at chance
(docs/methods.md).

`:smoke` walks the same 21 layers x 7 ops through every stage in a few updates, at 32
pixels on the shipped digits:

    difnas-jax --config=mbv2:smoke
"""

from difnas_jax.config import default, parse_arg


def get_config(arg=None):
    """Arguments: `paper`, `smoke`, `seed`."""
    args = parse_arg(arg, paper=False, smoke=False, seed=0)
    config = default()
    config.seed = args.seed
    config.search.max_macs = 475_000_000
    config.data.source = "tfds"
    config.data.name = "imagenet2012"
    config.data.test_split = "validation"  # the images of `test` have no labels
    config.data.workers = 16  # a core decodes some 200 images a second
    # As in the code of BN-NAS: a random square, colours, mirror.
    config.data.augmentation = "imagenet"
    config.data.lighting = 0.1
    config.data.flip = True
    # The usual ImageNet statistics.
    config.data.mean = (0.485, 0.456, 0.406)
    config.data.std = (0.229, 0.224, 0.225)
    if args.paper:
        config.supernet.update(optimizer="sgd", learning_rate=0.25)
        config.data.validation_fraction = 0.0
    if args.smoke:
        _shrink(config)
    return config


def _shrink(config):
    config.space.image_size = 32
    config.space.num_classes = 10
    config.data.source = "digits"
    config.data.workers = 0
    config.data.augmentation = "crop"
    config.data.lighting = 0.0
    config.data.flip = False
    config.data.mean = config.data.std = ()
    config.method.measured_batches = 2
    config.search.max_macs = 11_000_000
    for section in (config.supernet, config.retrain):
        section.epochs = 0.0
        section.steps = 8
        section.batch_size = 32
        section.log_every = 2
        section.checkpoint_every = 4
