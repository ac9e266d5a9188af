"""TEG-NAS (arXiv 2108.11939) by evolution, over the space and data of an experiment.

    difnas-jax --config=baselines/teg_evolution:digits

No weight is trained before retraining. Regularized evolution: the parent is the network
of the best sum of ranks within a tournament, by the condition number of the neural
tangent kernel, the linear regions and the error of kernel regression.

Follows the released code: 256 networks, tournaments of 64, 1000 children, initial
values drawn three times for the whole search, and regions on crops of 3 pixels. Differs
from it: kernels are drawn by the Kaiming-normal rule, which the code means to use and
does not; training images are not augmented, where the code flips and crops them; and
the images on which regression errs are of the validation split, where it reads the
test.
"""

from difnas_jax.config import experiment

TERMS = ("ntk_condition", "linear_regions", "regression_error")


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.stages = ("search", "retrain", "report")
    config.method.update(layer_indicator="plain", score="training_free")
    config.method.update(proxies=TERMS, combiner="rank_sum", proxy_repeats=3)
    config.search.update(algorithm="regularized_evolution", references=("random",))
    # Random search of as many networks beside it.
    config.search.update(population=256, tournament=64, steps=1000, generations=5)
    if "smoke" in (arg or "").split(","):
        config.method.proxy_repeats = 1
        config.search.update(population=8, mutations=4, crossovers=4, tournament=2)
        config.search.update(steps=4, generations=1)
    return config
