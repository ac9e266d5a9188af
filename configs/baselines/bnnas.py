"""BN-NAS (arXiv 2108.07375) over the space and the data of another experiment.

    difnas-jax --config=baselines/bnnas:digits

Kernels are Gaussian and frozen. As in the release, only the last batch norm of each
candidate trains, on uniform paths, and an architecture scores by the sum of these
indicators; identity has none and adds 0. The learning rate is that of the release, 0.25
at batch 512, falling linearly, for 10 epochs.
"""

from difnas_jax.config import experiment


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.method.update(kernels="he_fan_out", sampling="uniform")
    config.method.update(trainable="indicator")
    config.method.update(layer_indicator="plain", score="sum")
    config.supernet.update(optimizer="sgd", schedule="linear")
    config.supernet.update(learning_rate=0.25, reference_batch=512)
    config.supernet.epochs = min(config.supernet.epochs, 10.0)  # 0 where steps count
    return config
