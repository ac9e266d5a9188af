"""The numbers that a config may hold."""

import math

from ml_collections import ConfigDict

from difnas_jax.config.build import field, limits
from difnas_jax.errors import InputError

RANGES: dict[str, tuple[float, ...]] = {
    "seed": (0, 2**31 - 1),
    "devices": (0,),
    "data.validation_fraction": (0.0, 0.9),
    "data.workers": (0, 1024),
    "data.crop_scale": (1e-3, 1.0),
    "data.crop_aspect": (1.0, 10.0),
    "data.crop_padding": (0, 64),
    "data.lighting": (0.0, 10.0),
    "search.mutation_probability": (0.0, 1.0),
    "search.recalibration_batches": (1,),
    "search.recalibration_batch_size": (1,),
    "retrain.dropout": (0.0, 0.99),
    "retrain.evaluate_every": (0,),
}
TRAINING_RANGES: dict[str, tuple[float, ...]] = {
    "epochs": (0.0,),
    "steps": (0, 2**31 - 1),
    "batch_size": (1,),
    "learning_rate": (0.0,),
    "reference_batch": (1,),
    "warmup_steps": (0,),
    "momentum": (0.0, 1.0),
    "weight_decay": (0.0,),
    "label_smoothing": (0.0, 0.99),
    "clip_value": (0.0,),
    "clip_norm": (0.0,),
    "spike_factor": (0.0,),
    "log_every": (1,),
    "checkpoint_every": (1,),
    "keep_checkpoints": (1,),
}


def check_range(
    config: ConfigDict, name: str, low: float, high: float = float("inf")
) -> None:
    """Raise `InputError` unless low <= field <= high."""
    value = field(config, name)
    if not (low <= value <= high and math.isfinite(value)):
        open_end = high == float("inf")
        limit = f"at least {low} and finite" if open_end else f"{low} to {high}"
        raise InputError(f"{name}: expected {limit}, got {value}")


def check_numbers(config: ConfigDict) -> None:
    """Check every number and the stages.

    Raises:
      InputError: naming the field, what was expected and what came.
    """
    for name, bounds in RANGES.items():
        check_range(config, name, *bounds)
    for name in limits(config):
        check_range(config, f"search.{name}", 0, 2**62)
    for group in ("supernet", "retrain"):
        for name, bounds in TRAINING_RANGES.items():
            check_range(config, f"{group}.{name}", *bounds)
        if (config[group].epochs > 0) == (config[group].steps > 0):
            raise InputError(
                f"{group}.epochs, {group}.steps: expected exactly one to be positive, "
                f"got {config[group].epochs} and {config[group].steps}"
            )
