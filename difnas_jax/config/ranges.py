"""The fields and the numbers that a config may hold."""

from ml_collections import ConfigDict

from difnas_jax.config.build import flat
from difnas_jax.config.fields import default
from difnas_jax.config.files import missing
from difnas_jax.errors import first_of, require

# Integers are those of JAX, which has 32 bits for them; costs of networks are Python's.
# Floating-point numbers stay away from the largest ones of float32.
LARGEST, LARGEST_COST, LARGEST_FLOAT = 2**31 - 1, 2**62, 1e30
# A search keeps all candidates of a generation in memory.
MANY = 10**6
# Measured over 3,000 updates of nearly equal vectors (tests/test_projection.py): down
# to here a projector in float32 is that of float64 to a relative 1e-3.
LEAST_ALPHA = 1e-3
# By field, or by its last name; any other number is at least 0.
RANGES: dict[str, tuple[float, float]] = {
    "space.image_size": (1, 2**14),
    "space.image_channels": (1, 2**10),
    "space.num_classes": (1, 2**20),
    "data.validation_fraction": (0.0, 0.9),
    "data.test_fraction": (0.0, 0.9),
    "data.workers": (0, 1024),
    "data.crop_scale": (1e-3, 1.0),
    "data.crop_aspect": (1.0, 10.0),
    "data.crop_padding": (0, 64),
    "data.lighting": (0.0, 10.0),
    "method.proxy_repeats": (1, LARGEST),
    "method.alpha": (LEAST_ALPHA, LARGEST_FLOAT),
    "method.alpha_decay": (1e-6, 1.0),
    "method.forgetting": (0.0, 1.0),
    "method.project_from": (0.0, 1.0),
    "method.project_until": (0.0, 1.0),
    "method.directions": (1, 64),
    "method.measured_batches": (1, MANY),
    "supernet.disturbance_after": (1, LARGEST),
    "search.population": (1, MANY),
    "search.generations": (1, MANY),
    "search.parents": (1, MANY),
    "search.mutations": (0, MANY),
    "search.mutation_probability": (0.0, 1.0),
    "search.steps": (1, MANY),
    "search.crossovers": (0, MANY),
    "search.tournament": (1, MANY),
    "search.keep": (1, MANY),
    "search.distance": (1, LARGEST),
    "search.recalibration_batches": (1, MANY),
    "search.recalibration_batch_size": (1, LARGEST),
    "supernet.reward_every": (1, LARGEST),
    "retrain.dropout": (0.0, 0.99),
    "retrain.teacher_share": (0.0, 1.0),
    "retrain.networks": (1, LARGEST),
    **dict.fromkeys(("min_macs", "max_macs"), (0, LARGEST_COST)),
    **dict.fromkeys(("min_params", "max_params"), (0, LARGEST_COST)),
    "epochs": (0.0, 1e6),
    "batch_size": (1, LARGEST),
    "reference_batch": (1, LARGEST),
    "momentum": (0.0, 1.0),
    "label_smoothing": (0.0, 0.99),
    "log_every": (1, LARGEST),
    "checkpoint_every": (1, LARGEST),
    "keep_checkpoints": (1, LARGEST),
}


def check_fields(config: ConfigDict) -> None:
    """Refuse fields that nothing reads.

    Raises:
      InputError: naming them.
    """
    unknown = list(missing(default(), config))
    expected = "the fields of difnas_jax.config.default alone"
    require(not unknown, "config", expected, f"also {first_of(unknown)}")


def check_numbers(config: ConfigDict) -> None:
    """Check every number.

    Raises:
      InputError: naming the field, what was expected and what came.
    """
    for name, value in flat(config, config).items():
        own, shared = RANGES.get(name), RANGES.get(name.rpartition(".")[2])
        most = LARGEST_FLOAT if isinstance(value, float) else LARGEST
        low, high = own or shared or (0, most)
        if isinstance(value, int | float):
            require(low <= value <= high, name, f"{low} to {high}", value)
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
