"""FairNAS (arXiv 1907.01845) over the space and the data of another experiment.

    difnas-jax --config=baselines/fairnas:digits

All weights train, by the summed gradients of strictly fair paths; a path scores by its
validation accuracy after recalibration. Numbers of the supernet as in the public code
with that loop: 0.5 at batch 1024, which scales to 0.25 at 512, and 100 epochs in which
each image passes through all paths.
"""

from difnas_jax.config import experiment


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.stages = ("supernet", "search", "retrain", "report")
    config.method.update(kernels="he_fan_out", trainable="all")
    config.method.update(layer_indicator="plain", score="accuracy")
    config.search.references = ()  # random search would cost as much again
    config.supernet.update(optimizer="sgd", schedule="linear")
    config.supernet.update(learning_rate=0.25, reference_batch=512)
    config.supernet.update(weight_decay=4e-5, clip_value=5.0)
    if config.supernet.epochs:
        config.supernet.epochs = 700.0  # 100 with the seven paths of each update
    return config
