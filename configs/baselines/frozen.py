"""The default with its kernels frozen, over the space and the data of another one.

    python -m difnas_jax --config=baselines/frozen:digits

As DI-NAS, orthogonal kernels stay what they are drawn as; unlike there, all batch norms
and the classifier train. An update takes about half the time and, at large images, less
memory; on NAS-Bench-Macro it ranks worse, see docs/evidence.md.
"""

from difnas_jax.config import experiment


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.method.trainable = "all_bn"
    return config
