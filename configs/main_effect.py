"""Main effects of the loss over the space and the data of another experiment.

    difnas-jax --config=main_effect:digits

All weights train, from orthogonal kernels on, and a candidate scores by how much it
lowers the loss of the paths through it, measured after the training. Identity is
sampled as it is in the found network, without batch norm. docs/evidence.md has what it
ranks and costs; `frozen_effect.py` ranks alike at half the cost.
"""

from difnas_jax.config import experiment


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.method.update(kernels="orthogonal", depthwise="shift")
    config.method.update(trainable="all", sampling="strict_fair")
    config.method.update(layer_indicator="plain")
    config.method.update(indicator="measured_effect", score="sum")
    config.supernet.update(optimizer="adam", learning_rate=0.01)
    config.supernet.reference_batch = config.supernet.batch_size
    config.search.screening = True
    return config
