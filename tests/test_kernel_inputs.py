"""What kernels see: recorded vectors, what they mean, and where there are none."""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import initial, plain_network, plain_supernet
from test_conformance import SIZE, shortened

from difnas_jax import spaces
from difnas_jax.models import kernel_inputs
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.models.kernel_inputs import COLLECTION, PARTS, VECTORS
from difnas_jax.models.modules import Conv, Depthwise, Linear, Pointwise
from difnas_jax.ops.layout import BATCH_LAST, CHANNELS_LAST
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS
from difnas_jax.training.fates import leaves_of
from difnas_jax.training.input_projection import matrix_shape, to_matrices
from difnas_jax.training.projection import UPDATES

B, C, OUT = 3, 4, 5
REMATERIALIZED = ("bnnas17", "nas_bench_201")
LAYOUTS = (CHANNELS_LAST, BATCH_LAST)
MODULES = {
    "conv": lambda kernel, stride, layout: Conv(OUT, kernel, stride, layout),
    "expand": lambda kernel, stride, layout: Pointwise(OUT, layout),
    "depthwise": lambda kernel, stride, layout: Depthwise(kernel, stride, layout),
}
# (role, side of the images, k, stride)
CASES = [
    *itertools.product(("conv", "depthwise"), (1, 5), (3,), (1,)),
    *itertools.product(("conv", "depthwise"), (5, 6), (3, 5), (2,)),
    *itertools.product(("conv",), (5, 6), (1,), (2,)),
    *itertools.product(("expand",), (1, 5), (1,), (1,)),
]


def patches(images, kernel, stride):
    """float[B, H', W', k k, C]: what a convolution of padding k // 2 sees."""
    side, edge = images.shape[1], kernel // 2
    padded = np.pad(images, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    starts = range(0, side, stride)
    found = [
        [padded[:, i : i + kernel, j : j + kernel] for j in starts] for i in starts
    ]
    rows = np.stack([np.stack(row, 1) for row in found], 1)
    return rows.reshape(*rows.shape[:3], kernel**2, -1)


def quarters(maps):
    """[B, H', W', ...] -> [V, ...]: means over the images and each quarter."""
    means = []
    for rows in np.array_split(maps.mean(0), PARTS, 0):
        for part in np.array_split(rows, PARTS, 1):
            empty = not (part.shape[0] and part.shape[1])
            means.append(np.zeros(part.shape[2:]) if empty else part.mean((0, 1)))
    return np.stack(means)


@functools.partial(jax.jit, static_argnums=0)
def recorded(module, kernel, inputs):
    outputs, found = module.apply(
        {"params": {"kernel": kernel}}, inputs, mutable=[COLLECTION]
    )
    return outputs, found[COLLECTION]["kernel"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("role", "side", "kernel", "stride"), CASES)
def test_vectors_are_means_of_patches_and_give_means_of_outputs(
    role, side, kernel, stride, layout, rng
):
    """Means of what the kernel is multiplied with, over the images and each quarter."""
    images = np.float32(rng.standard_normal((B, side, side, C)) + 1)
    shapes = {"conv": (kernel, kernel, C, OUT), "depthwise": (kernel, kernel, 1, C)}
    weights = np.float32(rng.standard_normal(shapes.get(role, (C, OUT))))
    expected = quarters(patches(images, kernel, stride))  # [V, k k, C]
    if role == "depthwise":
        expected = expected.transpose(2, 0, 1)  # [C, V, k k]
    else:
        expected = expected.reshape(1, VECTORS, -1)
    module = MODULES[role](kernel, stride, layout)
    outputs, found = recorded(module, weights, layout.arrange(jnp.asarray(images)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    count, inputs, _ = matrix_shape((role, "kernel"), weights.shape)
    assert found.shape == (count, VECTORS, inputs)
    # [N, V, m] -> [V, channels]
    matrices = to_matrices((role, "kernel"), jnp.asarray(weights))
    products = np.asarray(found @ matrices).transpose(1, 0, 2).reshape(VECTORS, -1)
    means = quarters(np.asarray(layout.channels_last(outputs)))
    np.testing.assert_allclose(products, means, rtol=1e-4, atol=1e-4)


def test_a_linear_layer_sees_the_mean_over_the_images(rng):
    inputs = np.float32(rng.standard_normal((B, C)))
    module = Linear(OUT, use_bias=False)
    _, found = recorded(module, np.ones((C, OUT), np.float32), inputs)
    np.testing.assert_allclose(found[0, 0], inputs.mean(0), rtol=1e-6)
    assert found.shape == (1, VECTORS, C) and not found[0, 1:].any()


# Networks.


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).standard_normal((6, 8, 8, 1)).astype(np.float32)


def seen(model, variables, images, path, run=jax.jit) -> Any:
    """What a network records on a path, by leaf."""
    apply = functools.partial(model.apply, mutable=[COLLECTION], train=True)
    _, found = run(apply)(variables, images, jnp.asarray(path))
    return leaves_of(found.get(COLLECTION, {}))


def shapes_of(function):
    return functools.partial(jax.eval_shape, function)


def test_an_op_on_several_paths_records_their_sum(tiny, images):
    """Side by side, as one after another: what one path recorded counts once."""
    model = plain_network(tiny)
    variables = initial(model)
    paths = jnp.array([[0, 1, 0], [0, 1, 2], [1, 1, 0]])

    def together(variables):
        maps = model.apply(variables, images, True, method="enter")
        options = {"train": True, "method": "follow", "mutable": [COLLECTION]}
        return model.apply(variables, (maps,), paths, **options)[1][COLLECTION]

    one_by_one = [seen(model, variables, images, path) for path in paths]
    for leaf, found in leaves_of(jax.jit(together)(variables)).items():
        if leaf[0].startswith("layer_"):
            expected = sum(each[leaf] for each in one_by_one)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_ops_off_the_path_record_zeros(tiny, images):
    space = dataclasses.replace(tiny, layers=tiny.layers[:2])
    model, path = plain_network(space), (0, 2)
    variables = initial(model)
    found = seen(model, {"params": variables["params"]}, images, path)
    kernels = {leaf for leaf in leaves_of(variables["params"]) if leaf[-1] == "kernel"}
    assert found.keys() == kernels
    on = {leaf for leaf, vectors in found.items() if vectors.any()}
    names = [tiny.ops[op].name for op in path]
    for leaf in kernels:
        searched = leaf[0].startswith("layer_")
        assert (leaf in on) == (not searched or leaf[1] == names[int(leaf[0][-2:])])


@pytest.mark.parametrize("trainable", ["all_bn", "spatial"])
def test_frozen_kernels_record_nothing(tiny, images, trainable):
    model = plain_network(tiny)
    variables = initial(model, trainable=trainable)
    variables.pop("batch_stats")
    found = seen(model, variables, images, (0, 1, 2), run=shapes_of)
    trained = leaves_of(variables["params"])
    assert found.keys() == {leaf for leaf in trained if leaf[-1] == "kernel"}
    assert not found.keys() & leaves_of(variables["frozen"]).keys()
    assert ("classifier", "kernel") in found  # held, but not frozen


def test_nothing_is_computed_where_nobody_asks(tiny, images, monkeypatch):
    """Of sizes that no other test has, since a trace is kept."""
    calls, model = [], plain_network(dataclasses.replace(tiny, head_channels=17))
    plain = kernel_inputs.mean_positions

    def counted(*size):
        calls.append(size)
        return plain(*size)

    monkeypatch.setattr(kernel_inputs, "mean_positions", counted)
    variables = {"params": initial(model)["params"]}
    inputs = variables, images[:5], jnp.array([0, 1, 2])
    for mutable in ([], [COLLECTION]):
        apply = functools.partial(model.apply, train=True, mutable=mutable)
        jax.eval_shape(apply, *inputs)
        assert bool(calls) == bool(mutable)


@pytest.mark.parametrize("name", spaces.SPACES)
def test_every_space_tells_every_kernel_what_the_projections_take(name):
    """Names and shapes fit, in every row of `UPDATES`, also where a layer is alone."""
    wiring = LAYER_INDICATORS["parallel"](shortened(name))
    model = plain_supernet(wiring).clone(rematerialize=name in REMATERIALIZED)
    params = variable_shapes(model)["params"]
    variables, leaves = {"params": params}, leaves_of(params)
    images = jax.ShapeDtypeStruct((2, SIZE, SIZE, 3), jnp.float32)
    path = jnp.zeros(wiring.sampled.num_layers, jnp.int32)
    found = seen(model, variables, images, path, run=shapes_of)
    kernels = {leaf for leaf in leaves if leaf[-1] == "kernel"}
    assert found.keys() == kernels
    for leaf in kernels:
        count, inputs, _ = matrix_shape(leaf, leaves[leaf].shape)
        assert found[leaf].shape == (count, VECTORS, inputs), leaf
    alpha = jax.ShapeDtypeStruct((), jnp.float32)
    for row in UPDATES.values():
        memory = jax.eval_shape(lambda leaves, row=row: row.init(leaves, 8), leaves)
        assert jax.eval_shape(row.project, leaves, memory, alpha) == leaves
        after = jax.eval_shape(
            lambda *told, row=row: row.learn(*told, 0.5), memory, leaves, found, alpha
        )
        assert after == memory
        assert bool(jax.eval_shape(row.room, memory, leaves)) == bool(row.room_name)
