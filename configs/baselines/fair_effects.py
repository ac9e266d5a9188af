"""Main effects of a supernet whose weights all train, over another experiment.

    python -m difnas_jax.main --config=configs/baselines/fair_effects.py:digits

Trained as FairNAS, scored as the default: by how much each op lowers the loss of the
strictly fair paths through it. Ours; it ranks best on NAS-Bench-Macro, see
docs/evidence.md.
"""

from pathlib import Path

from difnas_jax.config_files import experiment


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = experiment(Path(__file__).parents[1], arg)
    config.method.update(kernels="he_fan_out", trainable="all")
    config.method.update(sampling="strict_fair", layer_indicator="plain")
    config.method.update(indicator="main_effect", score="sum")
    config.supernet.update(optimizer="sgd", weight_decay=5e-4, clip_value=5.0)
    config.supernet.update(learning_rate=0.05, reference_batch=64)
    return config
