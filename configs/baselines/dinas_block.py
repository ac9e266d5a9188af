"""DI-NAS without layer indicator over the space and the data of another experiment.

    difnas-jax --config=baselines/dinas_block:digits

The row "BN (block)" of the paper's table 2: no identity is sampled or chosen, so every
layer stays; 80 epochs.
"""

from difnas_jax.config import experiment


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.method.layer_indicator = "off"
    config.supernet.epochs = min(config.supernet.epochs, 80.0)  # 0 where steps count
    return config
