"""Networks of the dense space, which one compiled program measures and another trains.

A network is a path and one kernel for each layer. Given to every op of the layer, the
kernel is that of the op on the path, so that a supernet stands for all networks without
their weights, and gives what the found network gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from difnas_jax import data
from difnas_jax.config import load_config
from difnas_jax.models.initializers import initialize
from difnas_jax.models.layers import layer_name
from difnas_jax.models.network import Network
from difnas_jax.models.networks import network
from difnas_jax.scoring.proxies.dense_kernel import contracted, factors
from difnas_jax.spaces.base import IDENTITY, Architecture
from difnas_jax.spaces.dense import DenseSpace, dense
from difnas_jax.spaces.layer_indicator import plain

BATCH_SIZE = 64
Kernels = list[Any]


class Split(NamedTuple):
    """float32[N, H, W, 1] standardised images, and int32[N] labels."""

    images: Any
    labels: Any


def load(file: str) -> tuple[DenseSpace, dict[str, Split]]:
    """The space for the images of a file, or of the digits, and its splits by name."""
    config = load_config("dense")
    if file:
        size = int(np.load(file, allow_pickle=False)["x_train"].shape[1])
        config.data.update(source="arrays", path=file)
        config.space.image_size = size
    dataset: Any = data.load(config)
    normalizer = data.Normalizer.of(config, dataset.train)
    splits = {
        name: Split(normalizer(part.images), part.labels)
        for name, part in vars(dataset).items()
    }
    fields = config.space.to_dict()
    fields.pop("name")
    return dense(**fields), splits


def of_width(space: DenseSpace, width: int) -> DenseSpace:
    """The same space with hidden layers of another width."""
    layers = [
        dataclasses.replace(layer, out_channels=width)
        if number == 0
        else dataclasses.replace(layer, in_channels=width, out_channels=width)
        for number, layer in enumerate(space.layers)
    ]
    return dataclasses.replace(space, layers=tuple(layers))


def drawn(space: DenseSpace, count: int, seed: int) -> list[Architecture]:
    """Different networks with uniform ops, as many of 4 as of 5 and 6 hidden layers."""
    rng, found = np.random.default_rng(seed), {}
    last = space.parse([*["relu"] * 4, IDENTITY.name, IDENTITY.name])[-1]
    while len(found) < count:
        kept = 4 + len(found) % 3
        hidden = [set(layer.ops) - {last} for layer in space.layers[:kept]]
        ops = [int(rng.choice(sorted(own))) for own in hidden]
        found[(*ops, *[last] * (space.num_layers - kept))] = None
    return list(found)


def supernet(space: DenseSpace) -> Network:
    """The network that switches between the ops, without batch norms."""
    options = {"dropout": 0.0, "dtype": "float32", "rematerialize": False}
    return network(plain(space).sampled, **options)


def initial_kernels(space: DenseSpace, path: Architecture, seed: int) -> Kernels:
    """Those of the found network, layer by layer; zeros where a layer is left out."""
    model = supernet(space.cut(path))
    params = initialize(model, seed, kernels="orthogonal", depthwise="qr")["params"]
    kernels = []
    for number, layer in enumerate(space.layers):
        own = params.get(layer_name(number), {}).get(space.ops[path[number]].name)
        shape = layer.in_channels, layer.out_channels
        kernels.append(own["dense"]["kernel"] if own else np.zeros(shape, np.float32))
    return [*kernels, params["dense"]["kernel"]]


def variables_of(space: DenseSpace, kernels: Kernels) -> dict[str, Any]:
    """The variables of the supernet with one kernel for all ops of a layer."""
    layers = {
        layer_name(number): {
            space.ops[op].name: {"dense": {"kernel": kernels[number]}}
            for op in layer.ops
        }
        for number, layer in enumerate(space.layers)
    }
    return {"params": {**layers, "dense": {"kernel": kernels[-1]}}}


def tangent_kernels(
    space: DenseSpace, images: np.ndarray
) -> Callable[[Kernels, Architecture], np.ndarray]:
    """A program of (kernels, path): the NTK of one output, float64[N, N].

    That of the sum of the logits, divided by their number: in expectation the same.
    """
    model, pixels = supernet(space), jnp.asarray(images)
    find = jax.jit(
        lambda kernels, path: factors(model, variables_of(space, kernels), pixels, path)
    )
    return lambda kernels, path: (
        contracted(find(kernels, jnp.asarray(path))) / space.num_classes
    )


class Descent(NamedTuple):
    """How a network is trained.

    Attributes:
      name: for people.
      direction: of an update, before the learning rate.
      rates: of which a network takes that of better validation accuracy.
    """

    name: str
    direction: optax.GradientTransformation
    rates: tuple[float, ...]


DESCENTS = {
    "adam": Descent("Adam", optax.scale_by_adam(b2=0.99), (0.03, 0.1)),
    "sgd": Descent("SGD", optax.identity(), (0.1,)),
}


def trainer(
    space: DenseSpace, splits: dict[str, Split], updates: int, descent: Descent
) -> Callable[..., dict[str, np.ndarray]]:
    """A program of (kernels with a first dimension S, path, seeds[S]).

    The rate falls as a cosine, batches are drawn with replacement. It returns
    accuracies float[R, S] by name of the split, and `loss`, the mean over the last 20
    updates, for each of the R rates.
    """
    model, placed = supernet(space), jax.tree.map(jnp.asarray, splits)

    def logits(kernels: Kernels, path: Array, images: Array) -> Any:
        return model.apply(variables_of(space, kernels), images, path, True)

    def loss_of(kernels: Kernels, path: Array, batch: Split) -> Array:
        found = logits(kernels, path, batch.images)
        losses = optax.softmax_cross_entropy_with_integer_labels(found, batch.labels)
        return losses.mean()

    def train(
        splits: dict[str, Split],
        kernels: Kernels,
        path: Array,
        rate: Array,
        seed: Array,
    ) -> dict[str, Array]:
        optimizer = optax.chain(
            descent.direction,
            optax.scale_by_schedule(optax.cosine_decay_schedule(-1.0, updates)),
        )
        train = splits["train"]
        batches = jax.random.randint(
            jax.random.key(seed), (updates, BATCH_SIZE), 0, len(train.labels)
        )

        def update(carry: Any, chosen: Array) -> tuple[Any, Array]:
            kernels, state = carry
            batch = Split(train.images[chosen], train.labels[chosen])
            loss, gradient = jax.value_and_grad(loss_of)(kernels, path, batch)
            moves, state = optimizer.update(gradient, state)
            moves = jax.tree.map(lambda move: rate * move, moves)
            return (optax.apply_updates(kernels, moves), state), loss

        start = kernels, optimizer.init(kernels)
        (kernels, _), losses = jax.lax.scan(update, start, batches)
        accuracies = {
            name: (logits(kernels, path, part.images).argmax(-1) == part.labels).mean()
            for name, part in splits.items()
        }
        return {**accuracies, "loss": losses[-20:].mean()}

    over_seeds = jax.vmap(train, in_axes=(None, 0, None, None, 0))
    over_rates = jax.vmap(over_seeds, in_axes=(None, None, None, 0, None))
    run, rates = jax.jit(over_rates), jnp.asarray(descent.rates)

    def measured(
        kernels: Kernels, path: Architecture, seeds: Sequence[int]
    ) -> dict[str, np.ndarray]:
        arguments = placed, kernels, jnp.asarray(path), rates, jnp.asarray(seeds)
        return {name: np.asarray(found) for name, found in run(*arguments).items()}

    return measured
