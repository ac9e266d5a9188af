"""DI-NAS by a gamma that ranks: that of the logits, over another experiment.

    difnas-jax --config=logit_gamma:digits

As in DI-NAS, kernels and classifier stay what they are drawn as, batch norms alone
train, and the learned gammas are the score. Read are not those of the last batch norm
of each candidate, which the next batch norm takes out again, but one gamma for each
candidate that scales the normalised logits of the paths through it. All candidates of
a layer start alike, see `frozen_effect.py`, which trains the same supernet.

docs/evidence.md has what it ranks and costs.
"""

from difnas_jax.config import load_config


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = load_config(f"frozen_effect:{arg or ''}")
    config.method.update(indicator="logit_gamma", memory="nothing")
    return config
