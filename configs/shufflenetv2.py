"""DI-NAS on ImageNet over ShuffleNetV2 blocks (section 4.3 and table 2 of the paper).

    difnas-jax --config=shufflenetv2 --config.data.path=DATA_DIR

Data, recipe and search are those of `mbv2.py`, which says how to prepare DATA_DIR; the
supernet trains for 100 epochs (section 4), and the budget is that of SPOS, 330 M MACs.
The paper does not say: its budget here, and the kernels of this space; they are those
of SPOS. The row without layer indicator is `:layer_indicator=off`:

    difnas-jax compare --workdir=runs/shuffle \
        shufflenetv2 shufflenetv2:layer_indicator=off

Not run at full size. `:smoke` is a few updates of every stage, as of `mbv2`.
"""

from difnas_jax.config import experiment, parse_arg


def get_config(arg=None):
    """Arguments: `smoke`, `paper`, `seed`, as of `mbv2`; `layer_indicator`."""
    usual = experiment("mbv2").method.layer_indicator
    args = parse_arg(arg, smoke=False, paper=False, seed=0, layer_indicator=usual)
    flags = [name for name in ("smoke", "paper") if args[name]]
    config = experiment(",".join(["mbv2", f"seed={args.seed}", *flags]))
    config.space.name = "shufflenetv2"
    config.method.layer_indicator = args.layer_indicator
    config.supernet.epochs = min(config.supernet.epochs, 100.0)  # 0 where steps count
    # 330 M at 224 pixels.
    config.search.max_macs = 330_000_000 * config.space.image_size**2 // 224**2
    return config
