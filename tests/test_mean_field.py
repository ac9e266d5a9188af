"""Mean-field theory against known values, and against random networks in numpy."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from difnas_jax.isometry import mean_field
from difnas_jax.isometry.composition import Law, activated, chain, repeated
from difnas_jax.isometry.singular_values import moments
from difnas_jax.isometry.summary import layer_law
from difnas_jax.models.initializers import KERNEL_RULES
from difnas_jax.models.modules import ACTIVATIONS
from difnas_jax.models.orthogonal import stacked_haar

CRITICAL = {"relu": 2.0, "tanh": 1.0}  # variance of the weights


def test_every_activation_is_there_in_numpy():
    inputs = np.linspace(-8, 8, 999, dtype=np.float32)
    assert mean_field.FUNCTIONS.keys() == ACTIVATIONS.keys()
    for name, function in ACTIVATIONS.items():
        ours = mean_field.FUNCTIONS[name](inputs.astype(np.float64))
        np.testing.assert_allclose(ours, function(jnp.asarray(inputs)), atol=1e-6)


def test_relu_has_its_exact_statistics():
    phi = mean_field.statistics("relu")
    assert phi.mean == pytest.approx(1 / math.sqrt(2 * math.pi), abs=1e-6)
    assert phi.square == pytest.approx(0.5, abs=1e-6)
    assert phi.slopes == pytest.approx((0.5,) * 4, abs=1e-9)
    assert phi.spread == pytest.approx(1)
    assert phi.growth == pytest.approx(math.pi / (math.pi - 1), rel=1e-6)


def test_tanh_has_the_statistics_of_gauss_hermite_quadrature():
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    for q in (0.01, 1.0, 4.0):
        phi, slope = mean_field.statistics("tanh", q), np.cosh(q**0.5 * nodes) ** -2
        assert phi.square == pytest.approx(weights @ np.tanh(q**0.5 * nodes) ** 2)
        assert phi.slope == pytest.approx(weights @ slope**2, rel=2e-4)
        assert phi.slopes[3] == pytest.approx(weights @ slope**4, rel=2e-4)
    # 8 q^2 near the critical point.
    assert mean_field.statistics("tanh", 0.01).spread == pytest.approx(8e-4, rel=0.1)


def test_critical_points():
    """chi = 1 (eq. 5): a ReLU at gain sqrt 2 for every q, tanh at (1, 0) for q = 0."""
    for q in (0.1, 1.0, 10.0):
        assert mean_field.chi("relu", CRITICAL["relu"], q) == pytest.approx(1)
    assert mean_field.chi("tanh", CRITICAL["tanh"], 0.0) == pytest.approx(1)
    assert mean_field.chi("tanh", CRITICAL["tanh"], 0.3) < 0.9


@pytest.mark.parametrize(
    ("activation", "weights", "bias", "expected"),
    [
        ("relu", 2.0, 0.0, [(0.0, mean_field.VARIANCES[-1])]),  # every variance
        ("relu", 2.0, 0.1, []),  # grows for ever
        ("relu", 1.0, 1.0, [(2.0, 2.0)]),  # q / 2 + 1
        ("relu", 1.0, 0.0, [(0.0, 0.0)]),
        ("tanh", 1.0, 0.0, [(0.0, 0.0)]),
        ("tanh", 0.5, 0.0, [(0.0, 0.0)]),
    ],
)
def test_fixed_points(activation, weights, bias, expected):
    found = mean_field.fixed_points(activation, weights, bias)
    np.testing.assert_allclose(np.ravel(found), np.ravel(expected), atol=1e-5)


@pytest.mark.parametrize("gain", [1.1, 1.5, 3.0])
def test_above_criticality_tanh_has_a_second_fixed_point(gain):
    """Zero repels and the other attracts: iterating the map ends there (eqs. 6, 7)."""
    zero, (low, high) = mean_field.fixed_points("tanh", gain, 0.0)
    assert zero == (0.0, 0.0) and low == high > 0
    q = 1e-3
    for _ in range(500):
        q = mean_field.variance_map("tanh", gain, 0.0, q)
    assert q == pytest.approx(low, rel=1e-4)
    assert mean_field.chi("tanh", gain, 0.0) > 1


def test_moments_through_depth_are_those_of_the_paper():
    """Eq. 8 with open probability p, and the general law without Gaussian weights."""
    p, weights, depth = 0.5, 1.7, 6
    first = (weights * p) ** depth
    second = (weights * p) ** (2 * depth) * (depth + p) / p
    found = repeated(layer_law("relu", weights, 1.0, gaussian=True), depth)
    assert found.mean == pytest.approx(first)
    assert found.spread == pytest.approx(second / first**2 - 1)
    orthogonal = repeated(layer_law("relu", 2.0, 1.0, gaussian=False), depth)
    assert orthogonal[:2] == pytest.approx((1, depth))


DRAWS = {"orthogonal": stacked_haar(1.0), "gaussian": mean_field.gaussian}


def jacobian(rng, kernels, activation, depth):
    """Of a network of square layers at criticality."""
    function = mean_field.FUNCTIONS.get(activation, lambda inputs: inputs)
    return mean_field.random_jacobian(
        rng,
        DRAWS[kernels],
        function,
        weights=CRITICAL.get(activation, 1.0),
        q=0.01,
        layers=depth,
    )


@pytest.mark.parametrize("depth", [4, 8])
@pytest.mark.parametrize(
    ("kernels", "activation", "share"),
    [
        ("gaussian", "linear", 1.0),
        ("orthogonal", "linear", 0.0),
        ("gaussian", "relu", 2.0),
        ("orthogonal", "relu", 1.0),
    ],
)
def test_normalised_variance_of_random_networks(rng, kernels, activation, share, depth):
    """T1: L (mu_2 / mu_1^2 - 1 - s_1), within 15 % at width 128, mean of 3 networks."""
    found = [moments(jacobian(rng, kernels, activation, depth))[1] for _ in range(3)]
    assert np.mean(found) == pytest.approx(share * depth, rel=0.15, abs=1e-9)


def test_orthogonal_tanh_near_its_critical_point_is_nearly_an_isometry(rng):
    """q = 0.01: below 8 q^2 L where orthogonal, above L where Gaussian."""
    depth = 8
    found = {
        kernels: np.mean(
            [moments(jacobian(rng, kernels, "tanh", depth))[1] for _ in range(3)]
        )
        for kernels in ("orthogonal", "gaussian")
    }
    assert 0 < found["orthogonal"] < 8 * 0.01**2 * depth
    assert found["gaussian"] > 0.8 * depth


def test_variance_of_a_random_network_follows_the_map(rng):
    """Eq. 6, within 5 % at width 1000."""
    width, weights, bias, q = 1000, 1.5, 0.2, 3.0
    state = q**0.5 * rng.standard_normal(width)
    for _ in range(6):
        matrix = (weights / width) ** 0.5 * rng.standard_normal((width, width))
        state = matrix @ np.tanh(state) + bias**0.5 * rng.standard_normal(width)
        q = mean_field.variance_map("tanh", weights, bias, q)
        assert state.var() == pytest.approx(q, rel=0.15)


def test_chain_of_an_activation_and_a_kernel(rng):
    """The spread of one layer adds the two, whatever the activation."""
    phi = mean_field.statistics("tanh")
    layer = chain(activated(phi), Law(1.0, 1.0))
    slopes = 1 - np.tanh(rng.standard_normal(2000)) ** 2
    matrix = mean_field.gaussian(rng, (2000, 2000))
    assert moments(matrix * slopes) == pytest.approx(layer[:2], rel=0.1)


# Theorem 1 --------------------------------------------------------------------------

SIDE, CHANNELS, KERNEL = 5, 4, 3
FAN_IN = KERNEL**2 * CHANNELS


def distance_ratios(rng, kernel, pairs=20):
    """||W * x - W * y||^2 / ||x - y||^2 of a cyclic convolution, for random pairs."""
    weights = kernel.reshape(FAN_IN, -1)
    differences = rng.standard_normal((pairs, SIDE, SIDE, CHANNELS))
    shifts = [(row, column) for row in range(KERNEL) for column in range(KERNEL)]
    patches = [np.roll(differences, shift, axis=(1, 2)) for shift in shifts]
    outputs = np.concatenate(patches, -1) @ weights
    return (outputs**2).sum((1, 2, 3)) / (differences**2).sum((1, 2, 3))


@pytest.mark.parametrize("stacks", [1, 2])
def test_orthogonal_filters_preserve_the_norm_of_every_difference(rng, stacks):
    """Theorem 1, its exact part: the ratio is K k^2 / (C k^2) x norm^2, always."""
    shape = (KERNEL, KERNEL, CHANNELS, stacks * FAN_IN)
    ratios = distance_ratios(rng, KERNEL_RULES["orthogonal"]["stem"](rng, shape))
    # Filters of squared norm 2, and k^2 patches of each pixel.
    np.testing.assert_allclose(ratios, 2 * stacks * KERNEL**2, rtol=1e-6)


def test_gaussian_filters_spread_the_distances(rng):
    """P6: the standard deviation of the ratio falls with the root of K, within 20 %."""
    spreads = {}
    for filters in (FAN_IN, 4 * FAN_IN):
        found = []
        for _ in range(800):
            kernel = mean_field.gaussian(rng, (FAN_IN, filters))
            found.append(distance_ratios(rng, kernel, pairs=1)[0])
        expected = filters * KERNEL**2 / FAN_IN
        assert np.mean(found) == pytest.approx(expected, rel=0.02)
        spreads[filters] = np.std(found) / expected
    assert spreads[FAN_IN] > 0.01
    assert spreads[FAN_IN] / spreads[4 * FAN_IN] == pytest.approx(2, rel=0.2)
