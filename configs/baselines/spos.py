"""SPOS (arXiv 1904.00420) over the space and the data of another experiment.

    difnas-jax --config=baselines/spos:digits

All weights train, one uniform path an update; a path scores by its validation accuracy
after recalibration. Numbers of the supernet as in the BN-NAS release (batch 512, scaled
linearly); there SPOS trains for 100 epochs.
"""

from difnas_jax.config import experiment


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.stages = ("supernet", "search", "retrain", "report")
    config.method.update(kernels="he_fan_out", trainable="all", sampling="uniform")
    config.method.update(layer_indicator="plain", score="accuracy")
    config.search.references = ()  # random search would cost as much again
    config.supernet.update(optimizer="sgd", schedule="linear")
    config.supernet.update(learning_rate=0.25, reference_batch=512)
    config.supernet.update(weight_decay=4e-5, clip_value=5.0)
    config.supernet.epochs = min(config.supernet.epochs, 100.0)  # 0 where steps count
    return config
