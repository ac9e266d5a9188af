"""The terms of TEG-NAS by a Gumbel-softmax policy over single paths; ours.

    difnas-jax --config=baselines/teg_gumbel:digits

TEG-NAS (arXiv 2108.11939) reports a differentiable search, FP-NAS, over its three
terms; its authors did not release it. This policy is ours, and no number of theirs is
to be compared with it: `teg_reinforce` with `search.algorithm = gumbel`, which learns
from a linear model of the ranks of the networks that it has sampled. It scores one
network a step and no mixture of ops; the search that scores supernets is `te_nas`.
"""

from difnas_jax.config import load_config


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = load_config(f"baselines/teg_reinforce:{arg or ''}")
    config.search.algorithm = "gumbel"
    return config
