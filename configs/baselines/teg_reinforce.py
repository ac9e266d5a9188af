"""TEG-NAS (arXiv 2108.11939) by REINFORCE, over the space and data of an experiment.

    difnas-jax --config=baselines/teg_reinforce:digits

No weight is trained before retraining. A policy with one categorical distribution a
layer is rewarded by how the condition number of the neural tangent kernel, the linear
regions and the error of kernel regression change from one sample to the next.

Follows the released code, which cannot run as it is: 500 steps, Adam at 0.04 (its value
for NAS-Bench-201; 0.07 for the space of DARTS), initial values drawn three times for
the whole search; the answer is the best sum of ranks of all samples. Differs from it:
the first reward is 0, where the code has a tuple; kernels and images are as in
`teg_evolution`.
"""

from difnas_jax.config import load_config


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = load_config(f"baselines/teg_evolution:{arg or ''}")
    config.search.update(algorithm="reinforce", policy_learning_rate=0.04)
    if "smoke" not in (arg or "").split(","):
        # Random search of as many networks beside it.
        config.search.update(steps=500, population=50, generations=10)
    return config
