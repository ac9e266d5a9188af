"""Bounds on the minimum eigenvalue of a neural tangent kernel, and what follows.

Schur's product theorem, lambda(A o B) >= lambda(A) min_i B_ii for positive
semi-definite matrices, gives the lower bounds: the architecture enters as a product of
E phi'^2 + skip over the layers. This is the shape of the theorem of EigenNAS (Zhu et
al. 2022), of which only the abstract is known to us; the constants are derived here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from difnas_jax.isometry.infinite_width import (
    HiddenLayer,
    Kernels,
    hermite_coefficients,
    smallest_eigenvalue,
)
from difnas_jax.isometry.mean_field import statistics

POWERS = 30  # of the Gram matrix of the images: Hermite terms that the bound counts


def schur_bound(kernels: Kernels, layers: Sequence[HiddenLayer]) -> float:
    """A lower bound from the eigenvalues of the covariances of all layers.

    lambda(K) >= lambda(Q_H) + sum of lambda(Q_(l-1)) D_l prod_(p > l) (D_p + a_p).
    """
    eigenvalues = [smallest_eigenvalue(each) for each in kernels.covariances]
    slopes = [float(slope.diagonal().min()) for slope in kernels.slopes]
    return _accumulated(eigenvalues, slopes, layers)


def hermite_bound(gram: np.ndarray, layers: Sequence[HiddenLayer]) -> float:
    """A weaker lower bound, from the images and one number of each activation.

    Of the Gram matrix G of the images, the first covariance is the sum of a_r^2 times
    the powers of G by element, a_r being the Hermite coefficients: its eigenvalue is at
    least the sum of a_r^2 lambda(G^r). Behind it, the coefficients from the first on
    sum to Var phi, and by Schur lambda(Q_l) >= lambda(Q_(l-1)) (Var phi_l / q + a_l).
    The terms of the means are dropped. They are positive semi-definite for activations
    with means of one sign, as all of the dense space.

    Args:
      gram: float64[N, N], inner products of images of norm 1.
      layers: the hidden layers; the first has no skip.
    """
    first, *others = layers
    coefficients = hermite_coefficients(first.activation, 1.0)[1:POWERS]
    powers = [gram**power for power in range(1, POWERS)]
    eigenvalues = [max(0.0, smallest_eigenvalue(power)) for power in powers]
    lowest = [eigenvalues[0], float(coefficients**2 @ eigenvalues)]
    own = statistics(first.activation, 1.0)
    slopes, q, mean = [own.slope], own.square, own.mean
    for activation, skip in others:
        own = statistics(activation, q)
        lowest.append(lowest[-1] * (own.variance / q + skip))
        slopes.append(own.slope)
        q = own.square + skip * (q + 2 * own.mean * mean)
        mean = own.mean + skip * mean
    return _accumulated(lowest, slopes, layers)


def _accumulated(
    eigenvalues: Sequence[float], slopes: Sequence[float], layers: Sequence[HiddenLayer]
) -> float:
    """The sum of both bounds, from the last layer to the first."""
    total, backward = eigenvalues[-1], 1.0
    for layer in reversed(range(len(layers))):
        total += eigenvalues[layer] * slopes[layer] * backward
        backward *= slopes[layer] + layers[layer].skip
    return total


def closest_pair_bound(kernel: np.ndarray) -> float:
    """An upper bound: the smallest eigenvalue for any two of the images.

    The eigenvalues of a principal submatrix lie between those of the whole (Cauchy), so
    two images that the network can hardly tell apart bound it from above.

    Args:
      kernel: float64[N, N], N > 1.
    """
    diagonal = np.diagonal(kernel)
    middle = (diagonal[:, None] + diagonal) / 2
    half = (diagonal[:, None] - diagonal) / 2
    smaller = middle - np.sqrt(half**2 + kernel**2)
    pairs = np.triu_indices(len(kernel), 1)
    return float(smaller[pairs].min())


def generalisation_bound(kernel: np.ndarray, labels: np.ndarray) -> float:
    """sqrt(y' K^-1 y / N): what bounds the expected 0-1 error of SGD, up to a constant.

    For the average iterate of SGD on a wide network, to which logarithms and a term of
    confidence are added (Arora et al. 2019; Cao and Gu 2019).

    Args:
      kernel: float64[N, N], positive definite.
      labels: float64[N], -1 and 1.
    """
    solved = np.linalg.solve(kernel, labels)
    return float(np.sqrt(labels @ solved / len(labels)))


def eigenvalue_generalisation_bound(kernel: np.ndarray) -> float:
    """1 / sqrt(lambda_min), which no labels of -1 and 1 exceed in the bound above."""
    return smallest_eigenvalue(kernel) ** -0.5
