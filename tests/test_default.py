"""What runs by default is DI-NAS: frozen orthogonal kernels, batch norms that train."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from plain_networks import plain_supernet

from difnas_jax.config import load_config
from difnas_jax.models.initializers import initialize, variable_shapes
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS
from difnas_jax.training import optim
from difnas_jax.training.fates import FROZEN, HELD, TRAINED, leaves_of, split
from difnas_jax.training.recipe import Recipe, build_supernet
from difnas_jax.training.steps import create_state, make_train_step

CONFIGS = ("mbv2", "mbv2:paper", "digits", "nas_bench_macro")
EXPERIMENTS = ("mbv2", "digits", "nas_bench_macro")


@pytest.mark.parametrize("name", CONFIGS)
def test_every_batch_norm_trains_and_nothing_else(name):
    config = load_config(name)
    params = variable_shapes(build_supernet(config))["params"]
    fates = leaves_of(Recipe.of_supernet(config).fates(params))
    for leaf, fate in fates.items():
        if leaf[-1] == "kernel" and leaf[0] != "classifier":
            assert fate == FROZEN, leaf
        elif leaf[0] == "classifier":
            assert fate == HELD, leaf
        else:
            assert leaf[-2].startswith("bn_") and leaf[-1] in ("scale", "bias"), leaf
            assert fate == TRAINED, leaf
    assert {("stem", "kernel"), ("head", "kernel")} <= fates.keys()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_frozen_bytes_and_what_was_not_sampled_never_change(tiny, name, rng):
    """The recipe of a config, on a small space, over several updates."""
    config = load_config(name)
    config.supernet.batch_size = 8
    recipe = Recipe.of_supernet(config)
    model = plain_supernet(LAYER_INDICATORS[config.method.layer_indicator](tiny))
    params = initialize(model, 0, kernels="orthogonal", depthwise="qr")["params"]
    variables = split({"params": params, "batch_stats": {}}, recipe.fates(params))
    packing = optim.Packing.of(recipe.fates(variables["params"]))
    optimizer = optim.optimizer(recipe.settings, 100)
    state = create_state(jax.tree.map(jnp.asarray, variables), optimizer, packing, {})
    step = jax.jit(
        make_train_step(model, optimizer, recipe.projection(packing, 1), recipe)
    )
    images = rng.standard_normal((8, 8, 8, 1), np.float32)
    batch = {"image": images, "label": rng.integers(0, 10, 8)}
    for paths in ([[0, 0, 0], [1, 0, 0]], [[1, 0, 0], [0, 0, 0]]):
        state, _ = step(state, batch, jnp.array(paths, jnp.int32))
    before, after = leaves_of(variables), leaves_of(state.variables)
    same = {leaf for leaf in before if np.array_equal(before[leaf], after[leaf])}
    # `k5e6` was on no path of the last two layers.
    unsampled = {
        leaf
        for leaf in before
        if leaf[1:3] in {("layer_01", "k5e6"), ("layer_02", "k5e6")}
    }
    held = {leaf for leaf in before if leaf[0] == "frozen" or leaf[1] == "classifier"}
    assert len(held) > 10 and len(unsampled) > 10
    assert unsampled | held <= same
    # All others move: the only gradients of zero are those of biases and scales that
    # the next batch norm undoes, and Adam makes steps of their rounding errors.
    assert same == unsampled | held


@pytest.mark.parametrize("name", ["parallel", "shortcut", "candidate"])
def test_the_layer_indicator_has_a_gradient_at_the_end_of_a_stage(tiny, name, rng):
    """Along its mean, at scale 1 and bias 0; under `candidate` it has none."""
    wiring = LAYER_INDICATORS[name](tiny)
    model = plain_supernet(wiring)
    params = initialize(model, 0, kernels="orthogonal", depthwise="qr")["params"]
    images = rng.standard_normal((16, 8, 8, 1), np.float32)
    labels = rng.integers(0, 10, 16)
    path = jnp.array([0, 0, 2 if name == "candidate" else 0])

    def loss(scale, params):
        identity = {"bn_identity": {"scale": scale, "bias": jnp.zeros_like(scale)}}
        layer = {**params["layer_02"], "identity": identity}
        variables = {"params": {**params, "layer_02": layer}}
        logits: Any = model.apply(variables, images, path, True)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    gradient = jax.jit(jax.grad(loss))(jnp.ones(12), params)
    norm = jnp.linalg.norm(gradient)
    along_the_mean = jnp.abs(gradient.sum()) / jnp.sqrt(12.0) / norm
    assert float(norm) > 1e-4
    if name == "candidate":
        assert float(along_the_mean) < 1e-3
    else:
        assert float(along_the_mean) > 0.02


def test_the_shortcut_is_no_second_skip(tiny, rng):
    """f(x) + BN(x) is block(x) + BN(x) without the x of the block's own skip."""
    images = rng.standard_normal((8, 8, 8, 1), np.float32)
    hidden: dict[str, Any] = {}
    for name in ("off", "parallel", "shortcut"):
        model = plain_supernet(LAYER_INDICATORS[name](tiny))
        variables = initialize(model, 0, kernels="orthogonal", depthwise="qr")
        run = functools.partial(
            model.apply, capture_intermediates=True, mutable=["intermediates"]
        )
        params = {"params": variables["params"]}
        found: Any = run(params, images, jnp.array([0, 0, 0]), True)[1]
        hidden[name] = found["intermediates"]["layer_01"]["__call__"][0]
        inputs = found["intermediates"]["layer_00"]["__call__"][0]
    assert np.abs(hidden["parallel"] - hidden["off"]).max() > 0.1  # the batch norm
    difference = hidden["parallel"] - hidden["shortcut"]
    np.testing.assert_allclose(difference, inputs, atol=1e-5)
