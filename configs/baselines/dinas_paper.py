"""DI-NAS as the paper has it, over the space and the data of another experiment.

    python -m difnas_jax --config=baselines/dinas_paper:digits

Only the last batch norm of each candidate trains, by SGD, on a frozen classifier; each
depthwise filter is an orthogonal matrix; identity with batch norm is one more op; an
architecture scores by the ratio of its learned scales to those of the identities.
"""

from difnas_jax.config import experiment


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.method.update(kernels="orthogonal", depthwise="qr")
    config.method.update(trainable="indicator", train_classifier=False)
    config.method.update(sampling="strict_fair", layer_indicator="candidate")
    config.method.update(indicator="gamma", score="ratio")
    config.method.memory = "nothing"
    config.supernet.update(optimizer="sgd", learning_rate=0.25, reference_batch=512)
    return config
