"""The door: the whole config is checked before any work is done."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.config import STAGES
from difnas_jax.config import build as config_lib
from difnas_jax.config.build import field
from difnas_jax.errors import InputError
from difnas_jax.models.initializers import DEPTHWISE_RULES, KERNEL_RULES
from difnas_jax.models.supernet import DTYPES
from difnas_jax.runtime import artifacts
from difnas_jax.runtime.mesh import check_devices, check_divides
from difnas_jax.scoring.indicators import INDICATORS
from difnas_jax.scoring.scorers import SCORERS, is_additive
from difnas_jax.search.algorithms import ALGORITHMS
from difnas_jax.search.budget import check_reachable
from difnas_jax.spaces import SPACES, SearchSpace
from difnas_jax.spaces.costs import cost_table
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS, Wiring
from difnas_jax.stages import search
from difnas_jax.training.optim import OPTIMIZERS, SCHEDULES, TRAINABLE
from difnas_jax.training.paths import SAMPLERS, paths_per_update
from difnas_jax.training.placements import PLACEMENTS
from difnas_jax.training.steps import BATCHES

CHOICES: dict[str, Iterable[str]] = {
    "space.name": SPACES,
    "data.source": data.SOURCES,
    "data.corrupt": ("error", "skip"),
    "data.augmentation": data.AUGMENTATIONS,
    "method.kernels": KERNEL_RULES,
    "method.depthwise": DEPTHWISE_RULES,
    "method.trainable": TRAINABLE,
    "method.sampling": SAMPLERS,
    "method.batch": BATCHES,
    "method.layer_indicator": LAYER_INDICATORS,
    "method.indicator": INDICATORS,
    "method.score": SCORERS,
    "search.algorithm": ALGORITHMS,
    "supernet.paths_on": PLACEMENTS,
    "supernet.optimizer": OPTIMIZERS,
    "supernet.schedule": SCHEDULES,
    "supernet.dtype": DTYPES,
    "retrain.optimizer": OPTIMIZERS,
    "retrain.schedule": SCHEDULES,
    "retrain.dtype": DTYPES,
    "retrain.kernels": KERNEL_RULES,
}

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


def check(config: ConfigDict) -> None:
    """Check the whole config before any work is done.

    Raises:
      InputError: naming the field, what is allowed and what came.
    """
    check_numbers(config)
    check_devices(config.devices)
    for name, allowed in CHOICES.items():
        check_choice(config, name, allowed)
    wiring, stages = config_lib.build_wiring(config), chosen_stages(config)
    if "search" in stages:
        search.check_algorithms(config)
        space = wiring.searched
        check_reachable(config_lib.build_budget(config), cost_table(space), space)
    config_lib.given_architecture(config)
    for group in ("supernet", "retrain"):
        splits = config[group].get("paths_on", "batch") == "batch"
        if group in stages and splits:
            check_divides(f"{group}.batch_size", config[group].batch_size)
    check_batch_of_paths(config, wiring.sampled)
    check_indicator(config, wiring)
    if "search" in stages and not is_additive(config):
        check_divides(
            "search.recalibration_batch_size", config.search.recalibration_batch_size
        )
        check_paths_exist("method.score", config, wiring)


def check_indicator(config: ConfigDict, wiring: Wiring) -> None:
    """Refuse an indicator that the score or the supernet does not fit.

    Raises:
      InputError: naming the field.
    """
    if config.method.indicator == "gamma" or not is_additive(config):
        return
    if config.method.score == "ratio":
        raise InputError(
            "method.score: expected 'sum' or 'argmax' with method.indicator = "
            f"{config.method.indicator!r}, whose values are differences; got 'ratio'"
        )
    check_paths_exist("method.indicator", config, wiring)


def check_paths_exist(name: str, config: ConfigDict, wiring: Wiring) -> None:
    """Refuse to score paths that the supernet does not have.

    Raises:
      InputError: naming the layer indicator.
    """
    if (wiring.searched.allowed & ~wiring.sampled.allowed).any():
        raise InputError(
            f"{name}: {field(config, name)!r} expected that the supernet samples every "
            "op that can be found, with method.layer_indicator = "
            f"{config.method.layer_indicator!r} it does not; use 'plain' or 'candidate'"
        )


def _needed(name: str, config: ConfigDict) -> dict[str, str]:
    """The artefacts without which a stage cannot run, and the stages that make them."""
    trained, indicator = (
        {artifacts.TRAINED: "supernet"},
        {artifacts.INDICATOR: "indicator"},
    )
    needed = {
        "indicator": trained,
        "search": indicator if is_additive(config) else trained,
        "retrain": {} if config.retrain.architecture else {artifacts.BEST: "search"},
    }
    return needed.get(name, {})


def check_inputs(config: ConfigDict, workdir: Path) -> None:
    """Refuse stages that read what is not there and what no stage of this run makes.

    Raises:
      InputError: naming the file and the stage that makes it.
    """
    stages = chosen_stages(config)
    for name in stages:
        for path, maker in _needed(name, config).items():
            if maker not in stages and not (workdir / path).exists():
                raise InputError(
                    f"stages: {name} reads {workdir / path}, which is missing; "
                    f"expected {maker} among the stages, got {', '.join(stages)}"
                )


def check_data(config: ConfigDict) -> str:
    """Read the data where a stage of this run needs them.

    Returns:
      Their checksum; empty where no stage needs them.

    Raises:
      InputError: missing or malformed data.
    """
    readers = {"supernet", "retrain"} | (set() if is_additive(config) else {"search"})
    return data.check(config) if readers & set(chosen_stages(config)) else ""


def check_batch_of_paths(config: ConfigDict, space: SearchSpace) -> None:
    """Refuse a batch that cannot be shared among the paths of an update.

    Raises:
      InputError: naming the batch size and the number of paths.
    """
    sampler = SAMPLERS[config.method.sampling]
    share = BATCHES[config.method.batch].share
    paths = paths_per_update(sampler(space))
    size = config.supernet.batch_size
    labels = {"label": jax.ShapeDtypeStruct((size,), jnp.int32)}
    try:
        jax.eval_shape(lambda batch: share(batch, jnp.asarray(0), paths), labels)
    except TypeError as error:
        raise InputError(
            f"supernet.batch_size: expected a multiple of the {paths} paths of an "
            f"update (method.batch = {config.method.batch!r}), got {size}"
        ) from error


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
    if not (low <= value <= high and math.isfinite(value)):
        open_end = high == float("inf")
        limit = f"at least {low} and finite" if open_end else f"{low} to {high}"
        raise InputError(f"{name}: expected {limit}, got {value}")


def check_numbers(config: ConfigDict) -> None:
    """Check every number and the stages.

    Raises:
      InputError: naming the field, what was expected and what came.
    """
    for name, limits in RANGES.items():
        check_range(config, name, *limits)
    for name in config_lib.limits(config):
        check_range(config, f"search.{name}", 0, 2**62)
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

    Raises:
      InputError: none, an unknown one, or another order.
    """
    chosen = list(config.stages)
    if not chosen or chosen != [stage for stage in STAGES if stage in chosen]:
        raise InputError(
            f"stages: expected some of {', '.join(STAGES)}, in this order; got "
            + repr(",".join(map(str, chosen)))
        )
    return chosen
