"""The numbers that a config may hold."""

import math

from ml_collections import ConfigDict

from difnas_jax.config.build import flat
from difnas_jax.errors import require

LARGEST = 2**62
# By field, or by field of both trainings; any other number is at least 0.
RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1),
    "data.validation_fraction": (0.0, 0.9),
    "data.workers": (0, 1024),
    "data.crop_scale": (1e-3, 1.0),
    "data.crop_aspect": (1.0, 10.0),
    "data.crop_padding": (0, 64),
    "data.lighting": (0.0, 10.0),
    "method.proxy_repeats": (1, LARGEST),
    "method.alpha": (0.0, math.inf),
    "method.alpha_decay": (1e-6, 1.0),
    "method.forgetting": (0.0, 1.0),
    "method.project_from": (0.0, 1.0),
    "method.project_until": (0.0, 1.0),
    "method.directions": (1, 64),
    "supernet.disturbance_after": (1, LARGEST),
    "search.keep": (1, LARGEST),
    "search.distance": (1, LARGEST),
    "search.recalibration_batches": (1, LARGEST),
    "search.recalibration_batch_size": (1, LARGEST),
    "supernet.reward_every": (1, LARGEST),
    "retrain.dropout": (0.0, 0.99),
    "retrain.networks": (1, LARGEST),
    "steps": (0, 2**31 - 1),
    "batch_size": (1, LARGEST),
    "reference_batch": (1, LARGEST),
    "momentum": (0.0, 1.0),
    "label_smoothing": (0.0, 0.99),
    "log_every": (1, LARGEST),
    "checkpoint_every": (1, LARGEST),
    "keep_checkpoints": (1, LARGEST),
}


def check_numbers(config: ConfigDict) -> None:
    """Check every number.

    Raises:
      InputError: naming the field, what was expected and what came.
    """
    for name, value in flat(config, config).items():
        own, shared = RANGES.get(name), RANGES.get(name.rpartition(".")[2])
        low, high = own or shared or (0, LARGEST)
        if isinstance(value, int | float):
            limit = f"at least {low}" if high == LARGEST else f"{low} to {high}"
            require(low <= value <= high, name, f"{limit} and finite", value)
    for group in ("supernet", "retrain"):
        epochs, steps = config[group].epochs, config[group].steps
        fits, fields = (epochs > 0) != (steps > 0), f"{group}.epochs, {group}.steps"
        require(fits, fields, "exactly one to be positive", f"{epochs} and {steps}")
    networks, kept = config.retrain.networks, config.search.keep
    given = bool(config.retrain.architecture)
    most = "1, as retrain.architecture is one" if given else f"search.keep = {kept}"
    fits = networks <= (1 if given else kept)
    require(fits, "retrain.networks", f"at most {most}", networks)
