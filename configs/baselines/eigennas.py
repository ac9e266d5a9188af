"""EigenNAS (arXiv 2209.07238) over the space and the data of another experiment.

    difnas-jax --config=baselines/eigennas:dense
    difnas-jax --config=baselines/eigennas:digits

A network scores by the minimum eigenvalue of its neural tangent kernel at its initial
values; nothing trains before retraining. The paper's search space are the fully
connected networks of `dense`; how it searches is not known to us, so the search and its
size are those of the experiment. The row of the kernel also reads 64 images of the
validation split, for other columns: the search needs such a split although its score
does not.
"""

from difnas_jax.config import experiment


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.stages = ("search", "retrain", "report")
    config.method.update(layer_indicator="plain", score="training_free")
    config.method.proxies = ("ntk_min_eigenvalue",)
    config.search.references = ("random",)
    if "smoke" in (arg or "").split(","):
        config.search.update(population=8, mutations=4, crossovers=4)
    return config
