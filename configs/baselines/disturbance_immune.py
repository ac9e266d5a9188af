"""Disturbance-immune weight sharing (arXiv 2003.13089) over another experiment.

    difnas-jax --config=baselines/disturbance_immune:digits

All weights train, one uniform path an update, as in SPOS. After a warm-up the kernels
of an op only move orthogonally to the mean inputs that earlier paths gave it, so that
these paths are not disturbed; a path scores by its validation accuracy after
recalibration. The paper's recipe is not public: this one is that of `baselines/spos`,
and the strength of the projection and the length of the warm-up are ours.
"""

from difnas_jax.config import load_config


def get_config(arg=None):
    """Arguments: an experiment (`mbv2` if none), then its own, as in `digits,smoke`."""
    config = load_config(f"baselines/spos:{arg or ''}")
    config.method.update(update="orthogonal_inputs", project_from=0.1)
    return config
