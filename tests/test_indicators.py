"""Indicators: what training leaves behind, and what is read from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from difnas_jax.scoring.indicators import (
    INDICATORS,
    Evidence,
    PathLosses,
    effects,
    main_effect,
)
from difnas_jax.search.additive import score_table, sum_along_paths
from difnas_jax.spaces import build
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS
from difnas_jax.training.paths import SAMPLERS, stream


def drawn(space, sampling, updates):
    """int32[T, K, L]."""
    sampler = SAMPLERS[sampling](space)
    draw = jax.vmap(lambda step: sampler(stream(0, "paths", step)))
    return np.asarray(draw(jnp.arange(updates)))


@pytest.fixture(scope="module")
def space():
    return build("nas_bench_macro", image_size=16, image_channels=3, num_classes=10)


@pytest.mark.parametrize("sampling", SAMPLERS)
def test_planted_effects_are_found(space, sampling, rng):
    """Losses that are sums over layers, drifting, behind a first half of nonsense."""
    effects = rng.normal(size=(space.num_layers, space.num_ops))
    paths = drawn(space, sampling, 3000)
    losses = 3.0 - effects[np.arange(space.num_layers), paths].sum(-1)
    losses += np.linspace(5, 0, len(paths))[:, None]
    losses[:1500] = 100 * rng.normal(size=losses[:1500].shape)
    memory = {"path_losses": losses.astype(np.float32)}
    found = main_effect(Evidence({}, paths, memory, space))
    expected = effects - effects.mean(1, keepdims=True)
    # Exact, but for the drift within the three updates that uniform paths share.
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_measured_losses_all_count(space, rng):
    """Planted effects are found exactly, whatever the images of a row cost."""
    planted = rng.normal(size=(space.num_layers, space.num_ops))
    paths = drawn(space, "strict_fair", 60)
    losses = -planted[np.arange(space.num_layers), paths].sum(-1)
    found = effects(PathLosses(paths, losses + rng.normal(size=(60, 1))), space)
    np.testing.assert_allclose(found, planted - planted.mean(1, keepdims=True))


def test_noise_averages_out(space, rng):
    paths = drawn(space, "strict_fair", 4000)
    losses = rng.normal(size=paths.shape[:2]).astype(np.float32)
    found = main_effect(Evidence({}, paths, {"path_losses": losses}, space))
    # 2000 updates: the effect of an op is a mean of 2000 losses of variance 2 / 3.
    expected = np.sqrt(2 / 3 / 2000)
    assert 0.5 * expected < found.std() < 2 * expected


def test_fair_updates_balance_what_all_their_paths_share(space, rng):
    """The difficulty of the images of an update moves no effect."""
    paths = drawn(space, "strict_fair", 100)
    losses = rng.normal(size=paths.shape[:2])
    shared = losses + 100 * rng.normal(size=(100, 1))
    one, other = (
        main_effect(Evidence({}, paths, {"path_losses": values}, space))
        for values in (losses, shared)
    )
    np.testing.assert_allclose(one, other, atol=1e-9)
    # Every op is on one path of each update: the effects of a layer cancel.
    np.testing.assert_allclose(one.sum(1), 0, atol=1e-9)


def test_a_layer_without_a_choice_has_no_effect(tiny):
    fixed = tiny.cut((0, 1, 2))
    paths = drawn(fixed, "strict_fair", 4)
    losses = np.ones(paths.shape[:2], np.float32)
    table = main_effect(Evidence({}, paths, {"path_losses": losses}, fixed))
    assert np.isnan(table).all()
    score = score_table(table, fixed, rule="sum", dropped="zero")
    assert sum_along_paths(score, np.array([[0, 1, 2]])) == 0


def test_what_is_not_allowed_has_no_effect(tiny, rng):
    paths = drawn(tiny, "strict_fair", 50)
    losses = rng.normal(size=paths.shape[:2]).astype(np.float32)
    table = main_effect(Evidence({}, paths, {"path_losses": losses}, tiny))
    assert np.array_equal(np.isfinite(table), tiny.allowed)


def test_fewer_updates_than_a_comparison_takes(space, rng):
    """Nothing is known of an op that no path took."""
    paths = drawn(space, "uniform", 2)
    losses = rng.normal(size=(2, 1)).astype(np.float32)
    table = main_effect(Evidence({}, paths, {"path_losses": losses}, space))
    assert 0 < np.isfinite(table).sum() <= 2 * space.num_layers


def test_every_indicator_has_the_shape_of_the_space(tiny):
    wiring = LAYER_INDICATORS["candidate"](tiny)
    paths = drawn(wiring.sampled, "strict_fair", 4)
    losses = np.zeros(paths.shape[:2], np.float32)
    measured = PathLosses(paths, losses)
    params = {"bn_logits": {"scale": np.ones(wiring.sampled.allowed.shape)}}
    evidence = Evidence(params, paths, {"path_losses": losses}, tiny, measured)
    for indicator in INDICATORS.values():
        assert indicator.measure(evidence).shape == (tiny.num_layers, tiny.num_ops)
