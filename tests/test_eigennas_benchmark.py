"""The benchmark of EigenNAS: its networks, its choices, and what it refuses."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import plain_network

from benchmarks.eigennas import command, page
from benchmarks.eigennas.networks import (
    DESCENTS,
    Split,
    drawn,
    initial_kernels,
    of_width,
    tangent_kernels,
    trainer,
)
from benchmarks.eigennas.rows import PARTS
from difnas_jax.isometry.infinite_width import hidden_layers
from difnas_jax.models.initializers import initialize
from difnas_jax.scoring.proxies.dense_kernel import contracted, factors
from difnas_jax.spaces.dense import dense

CLASSES = 3


@pytest.fixture
def space():
    return of_width(dense(image_size=4, image_channels=1, num_classes=CLASSES), 8)


@pytest.fixture
def short(space):
    """Two of its layers with few ops, which compile in seconds."""
    layers = zip(space.layers, ((2, 4), (6, 8)), strict=False)
    few = tuple(dataclasses.replace(layer, ops=ops) for layer, ops in layers)
    return dataclasses.replace(space, layers=few)


@pytest.fixture
def split(rng):
    images = rng.standard_normal((6, 4, 4, 1)).astype(np.float32)
    return Split(images, rng.integers(CLASSES, size=6).astype(np.int32))


def test_drawn_networks_differ_and_are_balanced(space):
    networks = drawn(space, 30, seed=0)
    assert len({space.validate(network) for network in networks}) == 30
    layers = [len(hidden_layers(space, network)) for network in networks]
    assert [layers.count(depth) for depth in (4, 5, 6)] == [10] * 3
    assert networks == drawn(space, 30, seed=0) != drawn(space, 30, seed=1)


def test_a_path_with_shared_kernels_is_the_found_network(short, split):
    path = short.parse(["swish", "relu+skip"])
    model = plain_network(short.cut(path))
    variables = initialize(model, 5, kernels="he_fan_out", depthwise="qr")
    expected = factors(model, variables, jnp.asarray(split.images), jnp.asarray(path))
    found = tangent_kernels(short, split.images)(initial_kernels(short, path, 5), path)
    np.testing.assert_allclose(found, contracted(expected) / CLASSES, 1e-4, 1e-6)


def test_training_learns_six_images(short, split):
    """At a rate of 0.05 and not at 0; equal seeds give equal bits."""
    path = short.parse(["tanh", "tanh+skip"])
    kernels = initial_kernels(short, path, 0)
    descent = DESCENTS["adam"]._replace(rates=(0.05, 0.0))
    splits = {"train": split, "test": split}
    run = trainer(short, splits, updates=60, descent=descent)
    stacked = [np.stack([kernel] * 3) for kernel in kernels]
    found = run(stacked, path, [1, 1, 2])
    assert (found["test"][0] == 1).all() and (found["test"] == found["train"]).all()
    assert found["loss"][1].min() > 3 * found["loss"][0].max()
    assert found["loss"][0, 0] == found["loss"][0, 1] != found["loss"][0, 2]


def test_rows_are_plain_numbers(short, split):
    """What is kept is JSON, whatever type of number was measured."""
    splits = {"train": split, "validation": split, "test": split}
    path = short.parse(["tanh", "relu+skip"])
    row = PARTS["digits_sgd"].row_of(short, splits, [0, 1], 2)(path)
    assert json.loads(json.dumps(row)) == row and row.keys() == {
        "rate",
        "validation",
        "test",
    }
    assert row["validation"] == pytest.approx(np.mean(row["test"]), abs=1e-4)


def test_the_best_of_the_highest_scores_is_chosen_by_validation():
    own, test = np.array([4.0, 3.0, 2.0, 1.0]), np.array([0.5, 0.8, 0.7, 0.9])
    validation = np.array([0.1, 0.2, 0.9, 1.0])
    for count, regret in ((1, 0.4), (2, 0.1), (3, 0.2), (4, 0.0)):
        found = page.top_regret(own, validation, test, count)
        assert found == pytest.approx(regret)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["mnist"], "--data"),
        (["mnist_few", "--data=none.npz"], "'none.npz'"),
        (["cifar"], "'cifar'"),
        (["bounds", "--seeds=0"], "--seeds"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, capsys, arguments, named):
    assert command.main([*arguments, f"--output={tmp_path / 'out'}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line and not (tmp_path / "out").exists()
