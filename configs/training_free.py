"""Search by the best sum of log ranks that we know, without training anything.

    python -m difnas_jax --config=training_free:digits
    python -m difnas_jax --config=training_free:nas_bench_201

Six scores of a network at its initial values, three of them counts of its paths. On
NAS-Bench-201, where they were chosen by cross-validation, they rank better than any
published score that is not fitted to accuracies (docs/training_free.md); in a chain,
where the counts say little, they are not known to be good. The search and its size are
those of the experiment.
"""

from difnas_jax.config import experiment

TERMS = (
    "expressivity",
    "large_depth",
    "pool_paths",
    "swap",
    "synflow",
    "unpooled_paths",
)


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.stages = ("search", "retrain", "report")
    config.method.update(layer_indicator="plain", score="training_free")
    config.method.update(proxies=TERMS, combiner="sum_log_rank")
    config.search.references = ("random",)
    return config
