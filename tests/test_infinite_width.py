"""The infinite-width kernel and the bounds on its minimum eigenvalue."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import initial, plain_network

from difnas_jax.errors import InputError
from difnas_jax.isometry.eigenvalue_bounds import (
    closest_pair_bound,
    eigenvalue_generalisation_bound,
    generalisation_bound,
    hermite_bound,
    schur_bound,
)
from difnas_jax.isometry.infinite_width import (
    HiddenLayer,
    dual,
    dual_slope,
    hermite_coefficients,
    hidden_layers,
    infinite_kernels,
    smallest_eigenvalue,
)
from difnas_jax.isometry.mean_field import FUNCTIONS, statistics
from difnas_jax.scoring.proxies.dense_kernel import contracted, factors
from difnas_jax.spaces.dense import ACTIVATIONS, dense


@pytest.fixture(scope="module")
def images():
    """float64[12, 4, 4, 1] of norm 1: the points of the published-constants table."""
    drawn = np.random.default_rng(0).standard_normal((12, 16))
    rows = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return rows.reshape(12, 4, 4, 1)


@pytest.fixture(scope="module")
def gram(images):
    rows = images.reshape(12, -1)
    return rows @ rows.T


def uniform(activation, depth, skip):
    """The same layer again and again; the first has no skip."""
    return [HiddenLayer(activation, skip and layer > 0) for layer in range(depth)]


def eigenvalue(gram, activation, depth, skip):
    return smallest_eigenvalue(
        infinite_kernels(gram, uniform(activation, depth, skip)).tangent
    )


@pytest.mark.parametrize(
    ("activation", "square", "mean", "slope", "spread", "growth"),
    [
        ("relu", 0.5, 0.3989, 0.5, 2, 1.467),
        ("leaky_relu", 0.5000, 0.395, 0.5000, 2.00, 1.45),
        ("tanh", 0.3943, 0, 0.4644, 1.583, 1.178),
        ("sigmoid", 0.2934, 0.5, 0.0448, 1.137, 1.034),
        ("swish", 0.3558, 0.2066, 0.3795, 1.990, 1.212),
        ("linear", 1, 0, 1, 1, 1),
    ],
)
def test_constants_at_variance_one(activation, square, mean, slope, spread, growth):
    """E f^2, E f, E f'^2, E f'^4 / (E f'^2)^2 and E f'^2 / Var f."""
    phi = statistics(activation)
    assert phi.square == pytest.approx(square, abs=6e-5)
    assert phi.mean == pytest.approx(mean, abs=1e-3)
    assert phi.slope == pytest.approx(slope, abs=6e-5)
    assert phi.spread + 1 == pytest.approx(spread, abs=5e-3)
    assert phi.growth == pytest.approx(growth, abs=5e-3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("q", [1.0, 20.0])
def test_duals_are_expectations_over_two_normal_variables(activation, q):
    """On a grid of 801 x 801, whose kinks cost some parts in ten thousand."""
    edges = np.linspace(-8, 8, 802)
    grid = (edges[1:] + edges[:-1]) / 2
    density = np.exp(-(grid**2) / 2) / np.exp(-(grid**2) / 2).sum()
    function, step = FUNCTIONS[activation], 1e-5
    for rho in (-0.5, 0.0, 0.3, 0.9):
        first = q**0.5 * grid[:, None]
        second = rho * first + ((1 - rho**2) * q) ** 0.5 * grid
        weights = density[:, None] * density
        values = (function(first) * function(second) * weights).sum()
        slopes = [
            (function(x + step) - function(x - step)) / (2 * step)
            for x in (first, second)
        ]
        own = np.array(rho)
        assert dual(activation, q, own) == pytest.approx(values, rel=1e-3, abs=1e-4)
        expected = (slopes[0] * slopes[1] * weights).sum()
        found = dual_slope(activation, q, own)
        assert found == pytest.approx(expected, rel=5e-3, abs=1e-4)
    phi, one = statistics(activation, q), np.array(1.0)
    assert dual(activation, q, one) == pytest.approx(phi.square, rel=1e-5)
    assert dual_slope(activation, q, one) == pytest.approx(phi.slope, rel=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hermite_coefficients_hold_the_whole_function(activation):
    coefficients, phi = hermite_coefficients(activation, 1.0), statistics(activation)
    assert coefficients[0] == pytest.approx(phi.mean, abs=1e-9)
    assert coefficients @ coefficients == pytest.approx(phi.square, rel=1e-3)
    # Of a ReLU: 1 / sqrt(2 pi), 1 / 2, 1 / sqrt(4 pi), 0.
    if activation == "relu":
        expected = 1 / math.sqrt(2 * math.pi), 1 / 2, 1 / math.sqrt(4 * math.pi), 0
        np.testing.assert_allclose(coefficients[:4], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "depth", "plain", "skipping"),
    [
        ("tanh", 2, 0.172, 0.340),
        ("tanh", 4, 0.163, 1.218),
        ("swish", 2, 0.099, 0.276),
        ("swish", 4, 0.0114, 0.694),
        ("sigmoid", 2, 8.1e-4, 1.08e-2),
        ("sigmoid", 4, 4.1e-6, 1.22e-2),
    ],
)
def test_minimum_eigenvalues_of_an_independent_quadrature(
    gram, activation, depth, plain, skipping
):
    """Gauss-Hermite in two dimensions on the same 12 points; smooth activations."""
    assert eigenvalue(gram, activation, depth, False) == pytest.approx(plain, rel=8e-3)
    found = eigenvalue(gram, activation, depth, True)
    assert found == pytest.approx(skipping, rel=8e-3)


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_skip_raises_the_minimum_eigenvalue(gram, activation, depth):
    ratio = [
        eigenvalue(gram, activation, d, True) / eigenvalue(gram, activation, d, False)
        for d in (depth, depth + 1)
    ]
    assert 1 < ratio[0] < ratio[1]


def test_order_of_the_activations(gram):
    """ReLU ~ leaky ReLU > tanh > swish >> sigmoid at depth 2; not at every depth."""
    at_two = {name: eigenvalue(gram, name, 2, False) for name in ACTIVATIONS}
    assert at_two["relu"] == pytest.approx(at_two["leaky_relu"], rel=0.02)
    assert at_two["relu"] > at_two["tanh"] > at_two["swish"] > 50 * at_two["sigmoid"]
    falls = at_two["sigmoid"] / eigenvalue(gram, "sigmoid", 3, False)
    assert falls == pytest.approx(14, rel=0.1)
    assert eigenvalue(gram, "tanh", 4, False) > eigenvalue(gram, "relu", 4, False)


def test_minimum_eigenvalue_and_condition_disagree_about_skips(gram):
    found = {}
    for skip in (False, True):
        kernel = infinite_kernels(gram, uniform("relu", 3, skip)).tangent
        values = np.linalg.eigvalsh(kernel)
        found[skip] = values[0], values[-1] / values[0]
    assert found[True][0] > found[False][0] and found[True][1] > found[False][1]


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bounds_hold_the_minimum_eigenvalue(gram, activation, depth, skip):
    layers = uniform(activation, depth, skip)
    kernels = infinite_kernels(gram, layers)
    value, slack = smallest_eigenvalue(kernels.tangent), 1e-9
    assert 0 < hermite_bound(gram, layers) <= schur_bound(kernels, layers) + slack
    assert schur_bound(kernels, layers) <= value + slack
    assert value <= closest_pair_bound(kernels.tangent)
    assert closest_pair_bound(kernels.tangent) <= np.diagonal(kernels.tangent).min()


def test_bounds_hold_for_mixed_networks(gram, rng):
    space = dense(image_size=4, image_channels=1, num_classes=2)
    for _ in range(20):
        architecture = [int(rng.choice(layer.ops)) for layer in space.layers]
        layers = hidden_layers(space, architecture)
        kernels = infinite_kernels(gram, layers)
        bounds = hermite_bound(gram, layers), schur_bound(kernels, layers)
        value = smallest_eigenvalue(kernels.tangent)
        assert 0 < bounds[0] <= bounds[1] <= value
        assert value <= closest_pair_bound(kernels.tangent)


def test_without_hidden_layers_that_bend_the_kernel_is_that_of_the_images(gram):
    """A linear network of H layers has H + 1 times the Gram matrix; skips double it."""
    for depth in (1, 3):
        kernel = infinite_kernels(gram, uniform("linear", depth, False)).tangent
        np.testing.assert_allclose(kernel, (depth + 1) * gram, atol=1e-12)
    # Q = G, 2 G; K = 2 G + G (last layer) + 2 G (first layer, doubled by the skip).
    kernel = infinite_kernels(gram, uniform("linear", 2, True)).tangent
    np.testing.assert_allclose(kernel, 5 * gram, atol=1e-12)


def finite_kernels(images, names, width, seeds):
    """The tangent kernels of networks of a width, for one output."""
    space = dense(image_size=4, image_channels=1, num_classes=1)
    layers = [
        dataclasses.replace(layer, in_channels=width, out_channels=width)
        for layer in space.layers[: len(names)]
    ]
    layers[0] = dataclasses.replace(layers[0], in_channels=16)
    space = dataclasses.replace(space, layers=tuple(layers))
    path = space.parse(names)
    model = plain_network(space.cut(path))
    pixels, ops = jnp.asarray(images), jnp.asarray(path)
    find = jax.jit(lambda variables: factors(model, variables, pixels, ops))
    return [contracted(find(initial(model, seed))) for seed in range(seeds)]


@pytest.mark.parametrize("names", [("relu", "swish+skip", "tanh")])
def test_wide_networks_approach_the_infinite_one(images, gram, names):
    """As 1 / sqrt(width): four times the width halves the error, within 30 %."""
    layers = [HiddenLayer(n.removesuffix("+skip"), "+" in n) for n in names]
    expected = infinite_kernels(gram, layers).tangent
    errors = []
    for width in (128, 512):
        found = finite_kernels(images, names, width, seeds=12)
        squares = [((kernel / expected - 1) ** 2).mean() for kernel in found]
        errors.append(np.mean(squares) ** 0.5)
        value = np.mean([smallest_eigenvalue(kernel) for kernel in found])
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.3)
    assert value == pytest.approx(smallest_eigenvalue(expected), rel=0.15)


def test_generalisation_bounds(gram, rng):
    kernel = infinite_kernels(gram, uniform("tanh", 3, True)).tangent
    loosest = eigenvalue_generalisation_bound(kernel)
    values, vectors = np.linalg.eigh(kernel)
    for _ in range(10):
        labels = rng.choice([-1.0, 1.0], size=12)
        shares = (vectors.T @ labels) ** 2 / values
        found = generalisation_bound(kernel, labels)
        assert found == pytest.approx((shares.sum() / 12) ** 0.5) and found <= loosest


def test_images_of_another_norm_are_refused(gram):
    with pytest.raises(InputError, match=r"gram: expected images of norm 1, got .*4"):
        infinite_kernels(4 * gram, uniform("relu", 1, False))
