"""TEG-NAS (arXiv 2108.11939) by REINFORCE, over the space and data of an experiment.

    python -m difnas_jax --config=baselines/teg_reinforce:digits

No weight is trained before retraining. A policy with one categorical distribution a
layer is rewarded by how the condition number of the neural tangent kernel, the linear
regions and the error of kernel regression change from one sample to the next.

Follows the released code, which cannot run as it is: 500 steps, Adam at 0.04 (its value
for NAS-Bench-201; 0.07 for the space of DARTS), initial values drawn three times for
the whole search; the answer is the best sum of ranks of all samples. Differs from it:
the first reward is 0, where the code has a tuple; kernels and held-out images are as in
`teg_evolution`.
"""

from difnas_jax.config import experiment

TERMS = ("ntk_condition", "linear_regions", "regression_error")


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.stages = ("search", "retrain", "report")
    config.method.update(layer_indicator="plain", score="training_free")
    config.method.update(proxies=TERMS, combiner="rank_sum", proxy_repeats=3)
    config.search.update(algorithm="reinforce", references=("random",))
    # Random search of as many networks beside it.
    config.search.update(steps=500, policy_learning_rate=0.04, generations=10)
    if "smoke" in (arg or "").split(","):
        config.method.proxy_repeats = 1
        config.search.update(population=8, mutations=4, crossovers=4)
        config.search.update(steps=4, generations=1)
    return config
