"""The neural tangent kernel of infinitely wide fully connected networks.

The networks are those of `models.dense` with weights N(0, 1): the kernel of a finite
one deviates from this by a share of order 1 / sqrt(width) (Jacot et al. 2018). Images
have norm 1, so that every sample has the same variance in a layer, and a layer is a
function of that variance and of the correlations.

The recursion is the standard one for a scalar output, with skip connections. Ours: the
terms with the means, without which a skip beside an activation of non-zero mean is
wrong; EigenNAS is known to us by its abstract only.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from difnas_jax.errors import require
from difnas_jax.isometry.mean_field import CENTRES, DENSITY, FUNCTIONS, statistics
from difnas_jax.spaces.base import IDENTITY
from difnas_jax.spaces.dense import DenseSpace

TERMS = 400  # of a Hermite expansion
CONVERGED = 1e-5  # share that its tail may have; slopes are differences over cells
UNIT = 1e-4  # by which the squared norm of an image may differ from 1


class HiddenLayer(NamedTuple):
    """f = phi(W f' / sqrt(C)) + skip f'.

    Attributes:
      activation: a key of `mean_field.FUNCTIONS`.
      skip: whether the input is added.
    """

    activation: str
    skip: bool


def hidden_layers(
    space: DenseSpace, architecture: Sequence[int]
) -> tuple[HiddenLayer, ...]:
    """The layers of a network of the dense space; those left out are not among them."""
    ops = [space.ops[op] for op in space.validate(architecture)]
    kept = [op for op in ops if op.kind != IDENTITY.kind]
    return tuple(HiddenLayer(op.activation, op.skip) for op in kept)


class Kernels(NamedTuple):
    """What the recursion makes of N images and H hidden layers.

    Attributes:
      covariances: H + 1 of float64[N, N], of the inputs of each hidden layer and of the
        classifier.
      slopes: H of float64[N, N], E phi'(u) phi'(v) for the pre-activations.
      tangent: float64[N, N], the neural tangent kernel of one output.
    """

    covariances: tuple[np.ndarray, ...]
    slopes: tuple[np.ndarray, ...]
    tangent: np.ndarray


@functools.cache
def _hermite_polynomials() -> np.ndarray:
    """float64[TERMS, cells]: those of norm 1 under N(0, 1), at `mean_field.CENTRES`."""
    rows = [np.ones_like(CENTRES), CENTRES]
    for degree in range(1, TERMS - 1):
        higher = CENTRES * rows[-1] - degree**0.5 * rows[-2]
        rows.append(higher / (degree + 1) ** 0.5)
    return np.stack(rows)


@functools.cache
def hermite_coefficients(activation: str, q: float) -> np.ndarray:
    """float64[TERMS]: of z -> phi(sqrt(q) z), by polynomials of norm 1 under N(0, 1).

    Their squares sum to E phi^2, and the first is E phi.
    """
    values = FUNCTIONS[activation](q**0.5 * CENTRES)
    return _hermite_polynomials() @ (DENSITY * values)


def dual(activation: str, q: float, correlations: np.ndarray) -> np.ndarray:
    """E phi(u) phi(v) for u, v of N(0, q) with these correlations."""
    if activation in PIECEWISE_LINEAR:
        return q * _kinked(PIECEWISE_LINEAR[activation], correlations)[0]
    squares = hermite_coefficients(activation, q) ** 2
    return _series(squares, correlations, statistics(activation, q).square)


def dual_slope(activation: str, q: float, correlations: np.ndarray) -> np.ndarray:
    """E phi'(u) phi'(v), the derivative of `dual` by the covariance."""
    if activation in PIECEWISE_LINEAR:
        return _kinked(PIECEWISE_LINEAR[activation], correlations)[1]
    squares = hermite_coefficients(activation, q) ** 2
    derived = np.arange(1, TERMS) * squares[1:] / q
    return _series(derived, correlations, statistics(activation, q).slope)


def _series(
    coefficients: np.ndarray, correlations: np.ndarray, whole: float
) -> np.ndarray:
    """The sum of c_k rho^k, which is `whole` at rho = 1.

    There a steep activation may need more terms. Where it does not, the sum is as exact
    as beside it, which the smallest eigenvalue of a sigmoid network needs.
    """
    values = np.polynomial.polynomial.polyval(correlations, coefficients)
    if np.isclose(coefficients.sum(), whole, rtol=CONVERGED):
        return values
    return np.where(correlations == 1, whole, values)


# Slope below 0 of activations with slope 1 above it.
PIECEWISE_LINEAR = {"leaky_relu": 0.01, "linear": 1.0, "relu": 0.0}


def _kinked(below: float, correlations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both duals at q = 1, exactly (Cho and Saul 2009 for a ReLU).

    phi(u) = b u + (1 - b) relu(u), and E u relu(v) = rho / 2.
    """
    rho, rest = np.clip(correlations, -1, 1), 1 - below
    angle = np.arccos(rho)
    relu_slope = (np.pi - angle) / (2 * np.pi)
    relu = rho * relu_slope + np.sin(angle) / (2 * np.pi)
    value = below**2 * rho + below * rest * rho + rest**2 * relu
    return value, below**2 + below * rest + rest**2 * relu_slope


def infinite_kernels(gram: np.ndarray, layers: Sequence[HiddenLayer]) -> Kernels:
    """The recursion through the layers, forward for covariances, back for the kernel.

    Q_l = E phi phi + a_l (Q_(l-1) + e_l mu_(l-1) + mu_(l-1) e_l), mu_l = e_l + a_l
    mu_(l-1), e = E phi; K = Q_H + sum of Q_(l-1) o D_l o B_l, where D = E phi' phi',
    B_H = 1 and B_(l-1) = B_l o (D_l + a_l), all products by element.

    Args:
      gram: float64[N, N], inner products of images of norm 1.
      layers: the hidden layers.

    Raises:
      InputError: an image of another norm.
    """
    norms = np.diagonal(gram)
    off = float(norms[abs(norms - 1).argmax()])
    require(abs(off - 1) < UNIT, "gram", "images of norm 1", f"a squared norm of {off}")
    correlations = np.array(gram, np.float64)
    np.fill_diagonal(correlations, 1.0)
    covariances, slopes = [correlations], []
    q, mean = 1.0, 0.0
    for activation, skip in layers:
        correlations = covariances[-1] / q
        np.fill_diagonal(correlations, 1.0)
        slopes.append(dual_slope(activation, q, correlations))
        outputs = dual(activation, q, correlations)
        own = statistics(activation, q).mean
        if skip:
            outputs = outputs + covariances[-1] + 2 * own * mean
        covariances.append(outputs)
        mean = own + skip * mean
        q = float(outputs[0, 0])
    tangent, backward = covariances[-1].copy(), np.ones_like(correlations)
    for layer in reversed(range(len(layers))):
        tangent += covariances[layer] * slopes[layer] * backward
        backward *= slopes[layer] + layers[layer].skip
    return Kernels(tuple(covariances), tuple(slopes), tangent)


def smallest_eigenvalue(kernel: np.ndarray) -> float:
    """Of a symmetric matrix, in 64 bits; rounding may leave it below 0."""
    return float(np.linalg.eigvalsh(np.asarray(kernel, np.float64))[0])
