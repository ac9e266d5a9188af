"""Samplers: legal, fair, replayable."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from difnas_jax import spaces
from difnas_jax.training.paths import SAMPLERS, fixed, stream, strict_fair, uniform


def mbv2():
    return spaces.build("mbv2", image_size=32, image_channels=3, num_classes=10)


def draws(sampler, count, name="paths"):
    """int32[count, K, L]."""
    keys = jax.vmap(lambda step: stream(0, name, step))(jnp.arange(count))
    return np.asarray(jax.jit(jax.vmap(sampler))(keys))


@pytest.mark.parametrize("sampling", SAMPLERS)
@pytest.mark.parametrize("name", spaces.SPACES)
def test_paths_are_legal(name, sampling):
    space = spaces.build(name, image_size=32, image_channels=3, num_classes=10)
    paths = draws(SAMPLERS[sampling](space), 50)
    assert paths.dtype == np.int32 and paths.shape[2] == space.num_layers
    assert space.allowed[np.arange(space.num_layers), paths].all()
    assert len(np.unique(paths.reshape(-1, space.num_layers), axis=0)) > 40


def test_every_fair_update_takes_every_op_of_a_full_layer_once():
    space = mbv2()
    paths = draws(strict_fair(space), 100)
    assert paths.shape[1] == 7
    for number, layer in enumerate(space.layers):
        counts = np.apply_along_axis(np.bincount, 1, paths[:, :, number], minlength=7)
        if len(layer.ops) == 7:
            assert (counts == 1).all()
        else:  # six ops, seven paths: each at least once, one of them twice
            assert (np.sort(counts[:, :6]) == [1, 1, 1, 1, 1, 2]).all()


def test_without_identity_it_is_fairnas():
    space = mbv2().without_identity()
    paths = draws(strict_fair(space), 100)
    assert paths.shape[1] == 6
    assert (np.sort(paths, axis=1) == np.arange(6)[None, :, None]).all()


def test_repeated_ops_are_drawn_with_equal_expectation():
    paths = draws(strict_fair(mbv2()), 6000)
    counts = np.bincount(paths[:, :, 0].ravel(), minlength=6)[:6] / 6000
    np.testing.assert_allclose(counts, 7 / 6, atol=5 * np.sqrt(5 / 36 / 6000))
    # The repeated op may stand in any of the paths.
    first = np.bincount(paths[:, 0, 0], minlength=6)[:6] / 6000
    np.testing.assert_allclose(first, 1 / 6, atol=5 * np.sqrt(5 / 36 / 6000))


def test_much_fewer_ops_than_paths(tiny):
    """A layer with 1 op beside one with 3 repeats it in every path."""
    layers = (dataclasses.replace(tiny.layers[0], ops=(1,)), *tiny.layers[1:])
    paths = draws(strict_fair(dataclasses.replace(tiny, layers=layers)), 20)
    assert paths.shape[1:] == (3, 3)
    assert (paths[:, :, 0] == 1).all()
    assert (np.sort(paths[:, :, 1], axis=1) == [0, 1, 2]).all()


def test_layers_are_independent():
    paths = draws(strict_fair(mbv2()), 4000)
    together = (paths[:, 0, 1] == paths[:, 0, 2]).mean()
    assert together == pytest.approx(1 / 7, abs=5 * np.sqrt(6 / 49 / 4000))


def test_uniform_is_uniform():
    paths = draws(uniform(mbv2()), 6000)
    assert paths.shape[1] == 1
    shares = np.bincount(paths[:, 0, 1], minlength=7) / 6000
    np.testing.assert_allclose(shares, 1 / 7, atol=5 * np.sqrt(6 / 49 / 6000))


def test_paths_replay_from_seed_and_step():
    sample = jax.jit(strict_fair(mbv2()))
    first = sample(stream(0, "paths", 7))
    assert np.array_equal(first, sample(stream(0, "paths", 7)))
    for other in (stream(1, "paths", 7), stream(0, "paths", 8), stream(0, "x", 7)):
        assert not np.array_equal(first, sample(other))


def test_fixed_is_the_architecture():
    assert np.array_equal(fixed((1, 0, 2))(stream(0, "paths", 0)), [[1, 0, 2]])
