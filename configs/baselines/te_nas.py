"""TE-NAS (arXiv 2102.11535) over the space and the data of another experiment.

    difnas-jax --config=baselines/te_nas:digits

No weight is trained before retraining. A supernet of all ops but `none` is pruned by
the condition number of its neural tangent kernel and by its linear regions: in each
round, of every layer, the op without which they become least worse.

Follows the released code where it departs from the paper: changes are relative, rounded
and averaged over three repeats, and regions are counted on crops of 3 pixels. Follows
the paper in drawing kernels by the Kaiming-normal rule, which the code means to do and
does not.

Differs from both: initial values and images are drawn once a repeat for the whole
search, not anew in each comparison; the kernel is that of 64 training images (paper 32,
code 72 for NAS-Bench-201), and regions are counted on 1,000 crops in each repeat, of
which the changes are averaged (paper 5,000 images, code 3,000 crops counted together).
The row of the kernel also reads 64 images of the validation split, for the columns of
TEG-NAS that share its Jacobian: the search needs such a split although its score does
not. Images of the test are never read.
"""

from difnas_jax.config import experiment


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(arg)
    config.stages = ("search", "retrain", "report")
    config.method.update(layer_indicator="plain", score="training_free")
    config.method.update(proxies=("ntk_condition", "linear_regions"), proxy_repeats=3)
    config.search.update(algorithm="pruning", references=("random",), generations=2)
    if "smoke" in (arg or "").split(","):
        config.method.proxy_repeats = config.search.generations = 1
    return config
