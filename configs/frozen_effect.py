"""Main effects of a supernet of which batch norms alone train, over an experiment.

    difnas-jax --config=frozen_effect:digits

Kernels and classifier stay what they are drawn as, as in DI-NAS, and a candidate scores
by how much it lowers the loss of the paths through it in the second half of the
training. All inverted residuals of a layer start alike (`shared_response`,
`block_scale`), and the logits of all paths have one size (`logit_gammas`): frozen
kernels that answer in bases of their own, and a classifier that cannot change, keep
batch norms from learning.

docs/evidence.md has what it ranks and costs.
"""

from difnas_jax.config import load_config


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = load_config(f"main_effect:{arg or ''}")
    config.method.update(kernels="shared_response", depthwise="qr", block_scale=0.0)
    config.method.logit_gammas = True
    # Losses of the training: they cost nothing, and rank as those measured after it.
    config.method.update(indicator="main_effect", memory="path_losses")
    config.method.update(trainable="all_bn", train_classifier=False)
    config.supernet.update(learning_rate=0.1, logit_rate=0.1)
    return config
