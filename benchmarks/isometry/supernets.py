"""Signal, gradients and fairness in supernets of real spaces on real images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from benchmarks.isometry import fairness
from difnas_jax.config import default
from difnas_jax.data import SOURCES, Arrays, Normalizer, TrainBatches
from difnas_jax.data.examples import fitted
from difnas_jax.isometry.depth import Start, depth, listed
from difnas_jax.isometry.passes import make_probe, passes
from difnas_jax.models.initializers import initialize, variable_shapes
from difnas_jax.models.network import Network
from difnas_jax.models.networks import network
from difnas_jax.runtime import compilation
from difnas_jax.spaces import build
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS
from difnas_jax.training.fates import split
from difnas_jax.training.optim import Packing, optimizer
from difnas_jax.training.paths import stream, strict_fair
from difnas_jax.training.recipe import Recipe
from difnas_jax.training.steps import create_state, make_train_step

KERNELS = ("orthogonal", "he_fan_out")
IMAGES = 4096  # as many of the training split are used
CHANNELS = 3
Row = dict[str, Any]
Train = Callable[[Any, TrainBatches], tuple[Any, Any]]


@dataclasses.dataclass(frozen=True)
class Setting:
    """Settings of the measurement in supernets.

    Attributes:
      data: an .npz file; empty: the digits that are shipped.
      layer_indicators: keys of `LAYER_INDICATORS`.
      seeds: of kernels, batches and paths.
      image_size: side in pixels; images are resized to it.
      batch_size: B.
      draws: strictly fair sets of paths, each with its own batch.
      updates: of the indicator batch norms before anything is measured.
      learning_rate: of these, at 512 images.
    """

    data: str
    layer_indicators: tuple[str, ...]
    seeds: tuple[int, ...]
    image_size: int
    batch_size: int
    draws: int
    updates: int
    learning_rate: float


def training_images(setting: Setting) -> Arrays:
    """The images that are used, and their labels.

    Raises:
      InputError: missing or malformed data.
    """
    config = _config(setting)
    train: Any = SOURCES[config.data.source](config).train  # `Arrays`
    chosen = np.random.default_rng(0).permutation(len(train))[:IMAGES]
    return fitted("images", train[chosen], setting.image_size, CHANNELS)


def _config(setting: Setting) -> ConfigDict:
    config = default()
    config.data.update(source="arrays" if setting.data else "digits", path=setting.data)
    config.space.image_channels = CHANNELS
    config.space.num_classes = np.iinfo(np.int32).max  # as many as there are
    # The indicators train alone, as in BN-NAS.
    config.method.update(trainable="indicator", train_classifier=False)
    config.method.update(kernels="orthogonal", depthwise="qr", memory="nothing")
    config.supernet.update(
        batch_size=setting.batch_size,
        steps=setting.updates,
        epochs=0.0,
        optimizer="sgd",
        learning_rate=setting.learning_rate,
    )
    return config


def supernet(
    name: str, images: Arrays, setting: Setting, say: Callable[[str], None]
) -> list[Row]:
    """Look into the supernet of a space under every layer indicator and kernel rule.

    Args:
      name: of the space.
      images: from `training_images`.
      setting: how.
      say: takes a line of progress.

    Returns:
      A row for each layer indicator, kernel rule and seed: `layer_indicator`,
      `kernels`, `seed`, `ops` (names), `fairness` and `depth` as there.
    """
    space = build(
        name,
        image_size=setting.image_size,
        image_channels=CHANNELS,
        num_classes=int(images.labels.max()) + 1,
    )
    rows = []
    for indicator in setting.layer_indicators:
        model = supernet_of(space, indicator)
        say(f"{name}, layer indicator {indicator}: compiling")
        with compilation.without_collection():
            for row in _rows(model, images, setting):
                row = {"layer_indicator": indicator, **row}
                keys = "layer_indicator", "kernels", "seed"
                say(f"{name}: " + ", ".join(f"{key} {row[key]}" for key in keys))
                rows.append(row)
    return rows


def supernet_of(space: SearchSpace, indicator: str, activation: str = "") -> Network:
    """The supernet of a space under a layer indicator; `activation` as in `Network`."""
    wiring = LAYER_INDICATORS[indicator](space)
    return network(
        wiring.sampled,
        parallel_identity=wiring.parallel,
        own_skip=wiring.own_skip,
        dropout=0.0,
        dtype="float32",
        rematerialize=False,
        activation=activation,
    )


def _rows(model: Network, images: Arrays, setting: Setting) -> Iterator[Row]:
    config, space = _config(setting), model.space
    probe, normalizer = make_probe(model), Normalizer.of(config, images)
    recipe, start = Recipe.of_supernet(config), Start(space.activation, False)
    train = trainer(model, recipe) if setting.updates else lambda values, _: (values, 0)
    for kernels in KERNELS:
        for seed in setting.seeds:
            batches = TrainBatches(
                images, setting.batch_size, seed, normalizer, 0, False, 0.0
            )
            variables = initial(model, recipe, seed, kernels)
            variables, _ = train(variables, batches)
            drawn = (batches[draw] for draw in range(setting.draws))
            found = passes(probe, model, variables, drawn, seed)
            found_fairness = fairness.fairness(found, space)
            by_layer = depth(found, model, start)
            yield {
                "kernels": kernels,
                "seed": seed,
                "ops": [op.name for op in space.ops],
                "measures": fairness.measures(found_fairness),
                "fairness": fairness.to_json(found_fairness),
                "depth": {name: listed(value) for name, value in by_layer.items()},
            }


def initial(model: Network, recipe: Recipe, seed: int, kernels: str) -> Any:
    """The initial variables, on the device, in the collections of the recipe."""
    variables = initialize(model, seed, kernels=kernels, depthwise="qr")
    variables["batch_stats"] = {}  # a supernet keeps no running statistics
    variables = split(variables, recipe.fates(variables["params"]))
    return jax.tree.map(jnp.asarray, variables)


def trainer(model: Network, recipe: Recipe) -> Train:
    """Build a training by a recipe, compiled once.

    Returns:
      (variables, batches) -> the variables after its updates, and the metrics of each.
    """
    steps = recipe.settings.steps
    rule, sampler = optimizer(recipe.settings, steps), strict_fair(model.space)
    packing = Packing.of(recipe.fates(variable_shapes(model)["params"]))
    projection = recipe.projection(packing, total=1)
    step = jax.jit(make_train_step(model, rule, projection, recipe))

    def train(variables: Any, batches: TrainBatches) -> tuple[Any, list[Any]]:
        state = create_state(variables, rule, packing, memory={})
        metrics = []
        for number in range(steps):
            paths = sampler(stream(batches.seed, "paths", number))
            state, values = step(state, batches[number], paths)
            metrics.append(jax.device_get(values))
        return state.variables, metrics

    return train


def of(rows: Sequence[Row], indicator: str, kernels: str) -> list[Row]:
    """The rows of one layer indicator and kernel rule, a row for each seed."""
    return [
        row
        for row in rows
        if row["layer_indicator"] == indicator and row["kernels"] == kernels
    ]
