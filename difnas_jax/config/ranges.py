"""The numbers that a config may hold."""

from ml_collections import ConfigDict

from difnas_jax.config.build import flat
from difnas_jax.errors import require

LARGEST = 2**62
# Measured over 3,000 updates of nearly equal vectors (tests/test_projection.py): down
# to here a projector in float32 is that of float64 to a relative 1e-3.
LEAST_ALPHA = 1e-3
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
    "method.alpha": (LEAST_ALPHA, LARGEST),
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
    _check_projection(config.method)
    networks, kept = config.retrain.networks, config.search.keep
    given = bool(config.retrain.architecture)
    most = "1, as retrain.architecture is one" if given else f"search.keep = {kept}"
    fits = networks <= (1 if given else kept)
    require(fits, "retrain.networks", f"at most {most}", networks)


def _check_projection(method: ConfigDict) -> None:
    """Refuse an alpha that decays too far, and a window without an update."""
    least = method.alpha * method.alpha_decay
    fields = "method.alpha, method.alpha_decay"
    expected = f"a product of at least {LEAST_ALPHA}, for the precision of float32"
    require(least >= LEAST_ALPHA, fields, expected, least)
    first, end = method.project_from, method.project_until
    fields = "method.project_from, method.project_until"
    require(first < end, fields, "a share and a larger one", f"{first} and {end}")
