"""What trains: every leaf has one fate, and the network computes the same wherever."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from difnas_jax import spaces
from difnas_jax.models.initializers import initialize, variable_shapes
from difnas_jax.models.networks import network
from difnas_jax.training.fates import (
    FROZEN,
    HELD,
    TRAINABLE,
    TRAINED,
    fates_of,
    leaves_of,
    merge,
    split,
)

OPTIONS = {"dropout": 0.0, "dtype": "float32", "rematerialize": False}


@pytest.mark.parametrize("name", spaces.SPACES)
def test_every_leaf_of_every_space_has_a_fate(name):
    space = spaces.build(name, image_size=32, image_channels=3, num_classes=10)
    params = variable_shapes(network(space, **OPTIONS))["params"]
    for trainable in TRAINABLE:
        fates = leaves_of(fates_of(params, trainable, train_classifier=False))
        assert fates.keys() == leaves_of(params).keys()
        for leaf, fate in fates.items():
            if leaf[0] == "classifier":
                assert fate == (TRAINED if trainable == "all" else HELD)
            elif fate == FROZEN:
                assert leaf[-1] == "kernel"
        assert TRAINED in fates.values()
        all_kernels = {"kernel", "spatial kernel"} <= TRAINABLE[trainable]
        assert (FROZEN in fates.values()) != all_kernels


@pytest.mark.parametrize("trainable", ["indicator", "all_bn", "spatial"])
def test_a_leaf_of_another_name_is_an_error(trainable):
    shape = jax.ShapeDtypeStruct((3,), jnp.float32)
    params = {"layer_00": {"block": {"norm": {"scale": shape}}}}
    with pytest.raises(ValueError, match="layer_00/block/norm/scale"):
        fates_of(params, trainable, train_classifier=True)


@pytest.mark.parametrize("trainable", TRAINABLE)
def test_the_network_computes_the_same_from_split_and_merged_variables(tiny, trainable):
    model = network(tiny, **OPTIONS)
    variables = initialize(model, 0, kernels="orthogonal", depthwise="qr")
    fates = fates_of(variables["params"], trainable, train_classifier=False)
    parts = split(variables, fates)
    assert not leaves_of(parts["params"]).keys() & leaves_of(parts["frozen"]).keys()
    assert jax.tree.all(
        jax.tree.map(np.array_equal, merge(parts)["params"], variables["params"])
    )
    images = np.random.default_rng(0).standard_normal((4, 8, 8, 1), np.float32)
    path = jnp.array([0, 1, 2])

    def apply(variables):
        return model.apply(variables, images, path, train=True, mutable=[])[0]

    expected = jax.jit(apply)(variables)
    np.testing.assert_array_equal(jax.jit(apply)(parts), expected)
    np.testing.assert_array_equal(jax.jit(apply)(merge(parts)), expected)


def test_one_may_differentiate_by_everything(tiny):
    """Merged variables have a gradient for every kernel, as an NTK needs."""
    model = network(tiny.cut((0, 1, 2)), **OPTIONS)
    variables = initialize(model, 0, kernels="orthogonal", depthwise="qr")
    parts = split(variables, fates_of(variables["params"], "all_bn", False))
    images = np.random.default_rng(0).standard_normal((4, 8, 8, 1), np.float32)

    def total(params):
        whole = {**merge(parts), "params": params}
        path = jnp.array([0, 1, 2])
        return (model.apply(whole, images, path, train=True, mutable=[])[0] ** 2).sum()

    gradients = leaves_of(jax.grad(total)(merge(parts)["params"]))
    for leaf, gradient in gradients.items():
        if leaf[-1] == "kernel":
            assert np.abs(gradient).max() > 0, leaf
