"""Main effects with frozen kernels, over another experiment.

    difnas-jax --config=baselines/frozen:digits

As `frozen_effect.py`, but the classifier trains beside the batch norms.
"""

from difnas_jax.config import load_config


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = load_config(f"frozen_effect:{arg or ''}")
    config.method.train_classifier = True
    config.supernet.kernel_rate = 0.03
    return config
