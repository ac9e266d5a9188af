"""What every registered space must satisfy; a space without a golden row fails.

The supernet is the one of the wiring `plain`, whose paths are exactly the found
networks, with running statistics: with those of the batch the gradient of many biases
is zero by construction.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import initial, plain_network, plain_supernet

from difnas_jax import spaces
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.costs import cost_table
from difnas_jax.spaces.dense import DenseSpace
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS
from difnas_jax.training.paths import stream, strict_fair

flatten: Callable[..., dict[tuple[str, ...], Any]] = flax.traverse_util.flatten_dict

BATCH, SIZE, ROUNDS = 4, 8, 6
SPOS_RULE, MACS = "multiplies_and_adds", "macs"


class Golden(NamedTuple):
    """Counts of one network, from outside of this repository where there are any.

    Attributes:
      sizes: image size, image channels and classes.
      linear: how the source counts the classifier.
      text: the architecture, as indices or as an official string.
      macs, params: what the source says.
    """

    sizes: tuple[int, int, int]
    linear: str
    text: str
    macs: int
    params: int


GOLDEN = {
    # The releases of BN-NAS (twice), FairNAS (A) and SPOS.
    "mbv2": Golden(
        (224, 3, 1000),
        linear=SPOS_RULE,
        text="3 6 0 4 0 6 6 0 4 6 4 4 1 4 2 0 0 4 0 2 2",
        macs=473_549_240,
        params=5_228_536,
    ),
    "bnnas17": Golden(
        (224, 3, 1000),
        linear=SPOS_RULE,
        text="3 6 0 4 0 6 6 0 4 6 4 4 1 4 2 0 0 4 0 2 2",
        macs=473_549_240,
        params=5_228_536,
    ),
    "fairnas19": Golden(
        (224, 3, 1000),
        linear=SPOS_RULE,
        text="0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
        macs=248_408_856,
        params=3_189_080,
    ),
    "shufflenetv2": Golden(
        (224, 3, 1000),
        linear=MACS,
        text="2 1 0 1 2 0 2 0 2 0 2 3 0 0 0 0 3 2 3 3",
        macs=322_918_720,
        params=3_558_464,
    ),
    # Ours, not of a publication.
    "digits": Golden((16, 1, 10), MACS, "4 6 6 3 6 1 0", 1_622_144, 64_930),
    "dense": Golden((8, 1, 10), MACS, "2 6 9 0 12 4", 21_120, 21_120),
    # One row of each benchmark table.
    "nas_bench_macro": Golden(
        (32, 3, 10), MACS, "0 0 2 1 2 2 1 2", 66_384_384, 2_306_858
    ),
    "nas_bench_201": Golden(
        (32, 3, 10),
        linear="macs_and_bias",
        text="|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+"
        "|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
        macs=113_951_370,
        params=802_426,
    ),
}


SHORTER = {
    ChainSpace: lambda space: {"layers": space.layers[:2]},
    CellSpace: lambda space: {"cells": 1},
    DenseSpace: lambda space: {"layers": (space.layers[0], space.layers[-1])},
}


def shortened(name: str) -> SearchSpace:
    """The first two layers of a space, or one cell a stage, for small images.

    They have every kind of op and of layer in them, and compile in seconds.
    """
    space = spaces.build(name, image_size=SIZE, image_channels=3, num_classes=10)
    return dataclasses.replace(space, **SHORTER[type(space)](space))


def randomised(variables: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Give every leaf that starts constant a value of its own."""
    flat = flatten(variables)
    for leaf, value in flat.items():
        if leaf[-1] in ("scale", "var"):
            flat[leaf] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
        elif leaf[-1] in ("bias", "mean"):
            flat[leaf] = 0.1 * rng.standard_normal(value.shape).astype(np.float32)
    return flax.traverse_util.unflatten_dict(flat)


# Those of the package: configs that other tests load add theirs.
OWN = set(spaces.SPACES)


def test_every_space_has_a_golden_row() -> None:
    assert set(GOLDEN) == OWN


@pytest.mark.parametrize("name", spaces.SPACES)
def test_golden_counts_and_names(name: str) -> None:
    golden = GOLDEN[name]
    size, channels, classes = golden.sizes
    space = spaces.build(
        name, image_size=size, image_channels=channels, num_classes=classes
    )
    if golden.text[0].isdecimal():
        architecture = space.validate([int(op) for op in golden.text.split()])
    else:
        architecture = space.parse([golden.text])
        assert space.text(architecture) == golden.text
    assert space.parse(space.op_names(architecture)) == architecture
    costs = cost_table(space, linear=golden.linear).of(np.array(architecture))
    assert costs == {"macs": golden.macs, "params": golden.params}


@pytest.mark.parametrize("name", spaces.SPACES)
def test_a_path_is_the_cut_network_and_reaches_every_parameter(
    name: str, rng: np.random.Generator
) -> None:
    space = shortened(name)
    supernet = plain_supernet(LAYER_INDICATORS["plain"](space))
    variables = randomised(initial(supernet), rng)
    shape = BATCH, SIZE, SIZE, 3
    images = jnp.asarray(rng.standard_normal(shape), jnp.float32)
    weights = jnp.asarray(rng.standard_normal((BATCH, 10)), jnp.float32)

    def loss(params: Any, path: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits: Any = supernet.apply(
            {**variables, "params": params}, images, path, False
        )
        return (logits * weights).sum(), logits

    differentiate = jax.jit(jax.grad(loss, has_aux=True))
    sampler, reached, logits = strict_fair(space), {}, {}
    for round_ in range(ROUNDS):
        for path in sampler(stream(0, "paths", round_)):
            gradients, output = differentiate(variables["params"], path)
            logits[tuple(path.tolist())] = output
            for leaf, gradient in flatten(gradients).items():
                reached[leaf] = reached.get(leaf, False) or np.any(gradient != 0)
    assert all(np.isfinite(output).all() for output in logits.values())
    assert not [leaf for leaf, reaches in reached.items() if not reaches]
    for architecture in list(logits)[:1]:
        found = plain_network(space.cut(architecture))
        flat = flatten(variables)
        own = {leaf: flat[leaf] for leaf in flatten(variable_shapes(found))}
        own = flax.traverse_util.unflatten_dict(own)
        run = jax.jit(functools.partial(found.apply, train=False))
        expected: Any = run(own, images, jnp.asarray(architecture))
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            logits[architecture], expected, rtol=1e-3, atol=1e-4 * scale
        )
