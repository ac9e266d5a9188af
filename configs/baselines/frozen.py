"""Main effects of the loss with frozen kernels, over another experiment.

    python -m difnas_jax --config=baselines/frozen:digits

As `main_effect.py`, but orthogonal kernels stay what they are drawn as; all batch norms
and the classifier train. An update takes about half the time and, at large images, less
memory; on NAS-Bench-Macro it ranks worse, see docs/evidence.md.
"""

from difnas_jax.config import load_config


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = load_config(f"main_effect:{arg or ''}")
    config.method.update(trainable="all_bn", train_classifier=True)
    return config
