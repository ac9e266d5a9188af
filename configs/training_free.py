"""Search by the best sum of log ranks that we know, without training anything.

    difnas-jax --config=training_free:digits
    difnas-jax --config=training_free:nas_bench_201

Seven scores of a network at its initial values, three of them counts of its paths, of
which in a chain only one tells networks apart. They were chosen on both benchmarks:
tau-b .791 / .772 / .762 on NAS-Bench-201, above all published scores that are not
fitted to accuracies, and .836 on NAS-Bench-Macro (docs/training_free.md). The search
and its size are those of the experiment.
"""

from difnas_jax.config import experiment

TERMS = (
    "expressivity",
    "large_depth",
    "pool_paths",
    "swap",
    "synflow",
    "trainability",
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
