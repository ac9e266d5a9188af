"""The scale of the logits: the laws that make it tell ops apart."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import initial, plain_network

from difnas_jax.config import default
from difnas_jax.models.logit_norm import LOGIT_GAMMAS, LogitNorm
from difnas_jax.training import optim
from difnas_jax.training.fates import TRAINED, fates_of, leaves_of

MODULE, NAME = LOGIT_GAMMAS


def normed(logits, gammas, paths):
    variables = {"params": {NAME: jnp.asarray(gammas, jnp.float32)}}
    norm = LogitNorm(gammas.shape)
    return np.asarray(norm.apply(variables, jnp.asarray(logits), jnp.asarray(paths)))


def test_size_does_not_matter_and_gammas_do(rng):
    """Around the class means the deviation is the mean gamma of the path."""
    logits = rng.normal(size=(2, 50, 10)).astype(np.float32) + rng.normal(size=10)
    gammas = rng.uniform(0.5, 2.0, size=(3, 4))
    paths = np.array([[0, 1, 2], [3, 3, 0]])
    found = normed(logits, gammas, paths)
    np.testing.assert_allclose(found, normed(7 * logits, gammas, paths), rtol=2e-5)
    around = found - found.mean(1, keepdims=True)
    expected = gammas[np.arange(3), paths].mean(1)
    np.testing.assert_allclose(around.std((1, 2)), expected, rtol=1e-4)
    assert (found.argmax(-1) == logits.argmax(-1)).all()


def test_a_path_that_is_right_more_often_wants_larger_logits(rng):
    """The gradient descends to a scale that grows with the share of right answers."""
    labels = rng.integers(10, size=4000)
    scales = []
    for right in (0.2, 0.4, 0.6):
        shown = np.where(rng.random(4000) < right, labels, rng.integers(10, size=4000))
        logits = np.eye(10)[shown] + 0.1 * rng.normal(size=(4000, 10))

        def loss(gamma, logits=logits):
            variables = {"params": {NAME: gamma.reshape(1, 1)}}
            path = jnp.zeros((1, 1), jnp.int32)
            outputs = LogitNorm((1, 1)).apply(
                variables, jnp.asarray(logits[None]), path
            )
            entropies = jax.nn.log_softmax(outputs[0])[jnp.arange(4000), labels]
            return -entropies.mean()

        gammas = jnp.linspace(0.01, 3.0, 300)
        scales.append(float(gammas[jax.vmap(loss)(gammas).argmin()]))
    assert scales[0] < scales[1] < scales[2]


def test_a_scale_in_front_of_the_norm_has_no_gradient(rng):
    """The same number there is taken out again: why other gammas say nothing."""
    logits = jnp.asarray(rng.normal(size=(1, 20, 10)), jnp.float32)
    variables = {"params": {NAME: jnp.ones((3, 2))}}
    path, weights = jnp.zeros((1, 3), jnp.int32), rng.normal(size=(1, 20, 10))

    def outcome(before, behind):
        outputs = LogitNorm((3, 2)).apply(variables, before * logits, path)
        return (behind * outputs * weights).sum()

    before, behind = jax.grad(outcome, argnums=(0, 1))(1.0, 1.0)
    assert abs(float(before)) < 1e-3 * abs(float(behind))


@pytest.mark.parametrize("fair", [False, True])
def test_supernet_path_equals_the_cut_network(tiny, rng, fair):
    """But for the size of the logits: the found network has no such norm."""
    supernet = plain_network(tiny, logit_gammas=True)
    params = initial(supernet)["params"]
    images = jnp.asarray(rng.normal(size=(4, 8, 8, 1)), jnp.float32)
    paths = np.array([[0, 0, 0], [1, 1, 1], [0, 2, 2]], np.int32)
    maps = supernet.apply({"params": params}, images, True, method="enter")
    found = supernet.apply(
        {"params": params}, (maps,), paths, True, fair, method="follow"
    )
    for logits, path in zip(np.asarray(found), paths, strict=True):
        cut = plain_network(tiny.cut(tuple(path)))
        own = {name: params[name] for name in initial(cut)["params"]}
        alone = np.asarray(cut.apply({"params": own}, images, jnp.asarray(path), True))
        around = alone - alone.mean(0)
        np.testing.assert_allclose(logits * around.std(), alone, rtol=1e-3, atol=1e-5)


def test_they_train_with_the_batch_norms_where_a_path_goes(tiny):
    params = initial(plain_network(tiny, logit_gammas=True))["params"]
    fates = fates_of(params, "all_bn", False)
    assert leaves_of(fates)[LOGIT_GAMMAS] == TRAINED
    packing = optim.Packing.of(fates)
    moves = packing.moves(params, jnp.array([[0, 1, 2], [1, 1, 0]]), tiny)
    found = packing.unpack(moves, params)[MODULE][NAME]
    np.testing.assert_array_equal(found, [[1, 1, 0], [0, 1, 0], [1, 0, 1]])


def test_they_have_a_rate_of_their_own(tiny):
    params = initial(plain_network(tiny, logit_gammas=True))["params"]
    packing = optim.Packing.of(fates_of(params, "all_bn", False))
    packed = packing.pack(params)
    settings = default().supernet.copy_and_resolve_references()
    settings.update(optimizer="sgd", clip_value=0.0, logit_rate=0.1)
    optimizer = optim.optimizer(settings, 10)
    ones = jax.tree.map(jnp.ones_like, packed)
    moves = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), packed)
    updates: Any
    updates, _ = optimizer.update(ones, optimizer.init(packed), packed, moves=moves)
    ratio = updates[optim.LOGITS] / updates[optim.OTHERS][0]
    np.testing.assert_allclose(ratio, 0.1, rtol=1e-6)
