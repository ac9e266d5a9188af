"""Configuration: one commented default, strict arguments, checks at the door.

A config file has `get_config(arg)` which starts from `default()` and changes what its
experiment needs. Durations are given as `epochs` or as `steps`, never both; learning
rates hold at `reference_batch` and scale linearly with `batch_size`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ml_collections import ConfigDict

from difnas_jax import spaces
from difnas_jax.errors import InputError
from difnas_jax.search.budget import Budget
from difnas_jax.spaces.base import Architecture, SearchSpace
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS, Wiring

STAGES = ("supernet", "indicator", "search", "retrain", "report")


def default() -> ConfigDict:
    """Every field there is, with the choices of DI-NAS."""
    config = ConfigDict()
    # Every random stream of the run derives from this number.
    config.seed = 0
    # Which stages run, in this order; any subset of `STAGES`.
    config.stages = STAGES

    config.space = ConfigDict()
    # A key of `spaces.SPACES`.
    config.space.name = "mbv2"
    # Side of the square input in pixels; data of another size are resized.
    config.space.image_size = 224
    # 1 grey, 3 colour; grey data are repeated to 3 channels.
    config.space.image_channels = 3
    config.space.num_classes = 1000

    config.data = ConfigDict()
    # `digits` (shipped) or `arrays` (an .npz file).
    config.data.source = "arrays"
    # File of the `arrays` source.
    config.data.path = ""
    # Share of the training split held out where a source has no validation split.
    config.data.validation_fraction = 0.1
    # Training: zero-pad by so many pixels and crop back at random; 0 is off.
    config.data.crop_padding = 0
    # Training: flip left and right with probability 1/2.
    config.data.flip = False
    # Per-channel statistics on the 0-1 scale; empty: those of the training split.
    config.data.mean = ()
    config.data.std = ()

    # A method is a row: these columns tell it from the others.
    config.method = ConfigDict()
    # `orthogonal` or `he_fan_out`.
    config.method.kernels = "orthogonal"
    # Depthwise kernels of the orthogonal family: `qr`, `unit_norm`, `shift`, `delta`.
    config.method.depthwise = "qr"
    # What trains: `indicator` (last batch norm of each candidate), `all_bn`, `all`.
    config.method.trainable = "indicator"
    # `strict_fair` or `uniform`.
    config.method.sampling = "strict_fair"
    # The paths of one update see the `same` batch, or `split` it among them.
    config.method.batch = "same"
    # `candidate`, `parallel` or `off`.
    config.method.layer_indicator = "candidate"
    # `ratio`, `sum` or `argmax`.
    config.method.score = "ratio"

    config.supernet = _training()
    config.supernet.epochs = 120.0
    config.supernet.clip_value = 5.0

    config.search = ConfigDict()
    config.search.generations = 20
    config.search.population = 50
    # The best so many of everything seen become parents.
    config.search.parents = 10
    config.search.mutations = 25
    config.search.mutation_probability = 0.1
    config.search.crossovers = 25
    # Bounds on multiply-adds and parameters of the found network; 0 is no bound.
    config.search.min_macs = 0
    config.search.max_macs = 0
    config.search.min_params = 0
    config.search.max_params = 0

    config.retrain = _training()
    config.retrain.epochs = 240.0
    config.retrain.batch_size = 1024
    config.retrain.reference_batch = 1024
    config.retrain.learning_rate = 0.5
    config.retrain.weight_decay = 4e-5
    config.retrain.clip_norm = 5.0
    # Rate before the classifier.
    config.retrain.dropout = 0.2
    # Initial kernels: `orthogonal` or `he_fan_out`.
    config.retrain.kernels = "he_fan_out"
    # Steps between two evaluations on the validation split; 0 is only at the end.
    config.retrain.evaluate_every = 5000
    # Op names or indices separated by commas; empty: what the search found.
    config.retrain.architecture = ""
    return config


def _training() -> ConfigDict:
    """The fields that supernet and retraining share."""
    config = ConfigDict()
    # Duration in passes of the training split through a path, or in updates;
    # exactly one of the two is positive.
    config.epochs = 0.0
    config.steps = 0
    config.batch_size = 512
    # SGD; peak learning rate at `reference_batch` images, scaled linearly.
    config.learning_rate = 0.25
    config.reference_batch = 512
    # `cosine` or `linear` to zero, after a linear rise over `warmup_steps`.
    config.schedule = "cosine"
    config.warmup_steps = 0
    config.momentum = 0.9
    # Applies to kernels only, never to batch norms and biases.
    config.weight_decay = 0.0
    config.label_smoothing = 0.1
    # Clip each gradient entry, or the global norm; 0 is off.
    config.clip_value = 0.0
    config.clip_norm = 0.0
    # Updates between two lines of metrics, and between two checkpoints.
    config.log_every = 100
    config.checkpoint_every = 1000
    config.keep_checkpoints = 2
    return config


def parse_arg(arg: str | None, **defaults: Any) -> ConfigDict:
    """Typed arguments of a config file: `--config=configs/x.py:smoke,seed=3`.

    Args:
      arg: the text behind the colon, or None.
      **defaults: the arguments there are; their types are those of the defaults. A
        boolean may be given without a value.

    Returns:
      The arguments with their values.

    Raises:
      InputError: an unknown argument or a value of the wrong type.
    """
    values = dict(defaults)
    for item in filter(None, (arg or "").split(",")):
        name, given, text = item.partition("=")
        if name not in defaults:
            known = ", ".join(defaults) or "none"
            raise InputError(f"config argument {name!r}: unknown; there are: {known}")
        bare = "true" if isinstance(defaults[name], bool) and not given else text
        values[name] = _parsed(f"config argument {name!r}", defaults[name], bare)
    return ConfigDict(values)


def override(config: ConfigDict, name: str, text: str) -> None:
    """Set a field from text, as `--config.NAME=TEXT` does.

    Args:
      config: changed in place.
      name: dotted field name.
      text: a value of the field's type; the parts of a tuple are split by commas.

    Raises:
      InputError: an unknown field or a value of another type.
    """
    *sections, last = name.split(".")
    section, path = config, "the config"
    for part in (*sections, last):
        if not isinstance(section, ConfigDict) or part not in section:
            there = list(section) if isinstance(section, ConfigDict) else []
            raise InputError(
                f"--config.{name}: unknown field; {path} has "
                + (", ".join(sorted(there)) or "no fields")
            )
        parent, section, path = section, section[part], part
    if isinstance(section, ConfigDict):
        raise InputError(
            f"--config.{name}: expected one of its fields, {', '.join(section)}"
        )
    parent[last] = _parsed(name, section, text)


def _parsed(name: str, current: Any, text: str) -> Any:
    """The text as a value of the same type as the current one."""
    kind = type(current)
    try:
        return PARSERS[kind](text)
    except (ValueError, KeyError, OverflowError) as error:
        raise InputError(f"{name}: expected {kind.__name__}, got {text!r}") from error


def _parse_int(text: str) -> int:
    """An integer, also in the form 475e6."""
    value = float(text) if "e" in text.lower() else int(text)
    if value != int(value):
        raise ValueError("not whole")
    return int(value)


def _parse_tuple(text: str) -> tuple[Any, ...]:
    """Numbers or words, split by commas; brackets and quotes may stand around them."""
    words = [word.strip("\"' ") for word in text.strip("()[] ").split(",")]
    return tuple(_number_or_word(word) for word in words if word)


def _number_or_word(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word


PARSERS: dict[type, Callable[[str], Any]] = {
    bool: lambda text: {"true": True, "false": False}[text.lower()],
    float: float,
    int: _parse_int,
    str: str,
    tuple: _parse_tuple,
}


def build_space(config: ConfigDict) -> SearchSpace:
    """The search space that the config names."""
    fields = config.space.to_dict()
    return spaces.build(fields.pop("name"), **fields)


def build_wiring(config: ConfigDict) -> Wiring:
    """The spaces that are sampled and searched under the config's layer indicator."""
    return LAYER_INDICATORS[config.method.layer_indicator](build_space(config))


def build_budget(config: ConfigDict) -> Budget:
    """The bounds on the found network."""
    search = config.search
    return Budget(
        min_macs=search.min_macs,
        max_macs=search.max_macs or None,
        min_params=search.min_params,
        max_params=search.max_params or None,
    )


def given_architecture(config: ConfigDict) -> Architecture | None:
    """What `retrain.architecture` asks for, or None where it is empty.

    Raises:
      InputError: not an architecture of the space.
    """
    words = [word.strip() for word in config.retrain.architecture.split(",")]
    if words == [""]:
        return None
    space = build_space(config)
    if all(word.isdecimal() for word in words):
        return space.validate([int(word) for word in words])
    return space.parse(words)


def field(config: ConfigDict, name: str) -> Any:
    """The value of a dotted field name."""
    value: Any = config
    for part in name.split("."):
        value = value[part]
    return value


def check_choice(config: ConfigDict, name: str, allowed: Iterable[str]) -> None:
    """Raise `InputError` unless the field holds one of the allowed names."""
    value, names = field(config, name), list(allowed)
    if value not in names:
        raise InputError(f"{name}: expected one of {', '.join(names)}; got {value!r}")


def check_range(
    config: ConfigDict, name: str, low: float, high: float = float("inf")
) -> None:
    """Raise `InputError` unless low <= field <= high."""
    value = field(config, name)
    if not low <= value <= high:
        limit = f"at least {low}" if high == float("inf") else f"{low} to {high}"
        raise InputError(f"{name}: expected {limit}, got {value}")


RANGES: dict[str, tuple[float, ...]] = {
    "seed": (0, 2**31 - 1),
    "data.validation_fraction": (0.0, 0.9),
    "data.crop_padding": (0,),
    "search.generations": (1,),
    "search.population": (1,),
    "search.parents": (1,),
    "search.mutations": (0,),
    "search.mutation_probability": (0.0, 1.0),
    "search.crossovers": (0,),
    "search.min_macs": (0,),
    "search.max_macs": (0,),
    "search.min_params": (0,),
    "search.max_params": (0,),
    "retrain.dropout": (0.0, 0.99),
    "retrain.evaluate_every": (0,),
}
TRAINING_RANGES: dict[str, tuple[float, ...]] = {
    "epochs": (0.0,),
    "steps": (0,),
    "batch_size": (1,),
    "learning_rate": (0.0,),
    "reference_batch": (1,),
    "warmup_steps": (0,),
    "momentum": (0.0, 1.0),
    "weight_decay": (0.0,),
    "label_smoothing": (0.0, 0.99),
    "clip_value": (0.0,),
    "clip_norm": (0.0,),
    "log_every": (1,),
    "checkpoint_every": (1,),
    "keep_checkpoints": (1,),
}


def check_numbers(config: ConfigDict) -> None:
    """Check every number and the stages.

    Raises:
      InputError: naming the field, what was expected and what came.
    """
    for name, limits in RANGES.items():
        check_range(config, name, *limits)
    for group in ("supernet", "retrain"):
        for name, limits in TRAINING_RANGES.items():
            check_range(config, f"{group}.{name}", *limits)
        if (config[group].epochs > 0) == (config[group].steps > 0):
            raise InputError(
                f"{group}.epochs, {group}.steps: expected exactly one to be positive, "
                f"got {config[group].epochs} and {config[group].steps}"
            )
    chosen_stages(config)


def chosen_stages(config: ConfigDict) -> list[str]:
    """The stages that run, in order.

    A flag gives them as one text, `--config.stages=search,report`.

    Raises:
      InputError: none, an unknown one, or another order.
    """
    chosen = ",".join(config.stages).split(",")
    if chosen != [stage for stage in STAGES if stage in chosen]:
        raise InputError(
            f"stages: expected some of {', '.join(STAGES)}, in this order; got "
            + repr(",".join(chosen))
        )
    return chosen
