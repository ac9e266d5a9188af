"""Mean-field theory of random networks: variance, chi and moments through depth.

A layer is h' = W phi(h) + b (eqs. 3 and 4). The entries of W are independent or those
of an orthogonal matrix; `weights` is the variance of W x for inputs of second moment 1
(sigma_w^2 in the literature, summed over the inputs of an output unit), and `bias` that
of b. The paper takes equations 5 to 8 from Poole et al. 2016, Schoenholz et al. 2016
and Pennington et al. 2017; the forms here are theirs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]

# The activations of `models.modules.ACTIVATIONS` in numpy, in 64 bits.
FUNCTIONS: dict[str, Function] = {
    "leaky_relu": lambda inputs: np.maximum(inputs, 0.01 * inputs),
    "linear": lambda inputs: inputs,
    "relu": lambda inputs: np.maximum(inputs, 0),
    "relu6": lambda inputs: np.clip(inputs, 0, 6),
    "sigmoid": lambda inputs: (1 + np.tanh(inputs / 2)) / 2,
    "swish": lambda inputs: inputs * (1 + np.tanh(inputs / 2)) / 2,
    "tanh": np.tanh,
}

# z ~ N(0, 1) in cells: slopes over cells need no derivative, and 0 is between two. With
# Gauss-Hermite nodes, some 0.2 apart, a kink elsewhere costs a part in a hundred.
EDGES = np.linspace(-10, 10, 10_001)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
DENSITY = np.exp(-(CENTRES**2) / 2) / np.exp(-(CENTRES**2) / 2).sum()

VARIANCES = np.logspace(-6, 4, 501)  # among which fixed points are looked for
WIDTH = 128  # of random networks
KEPT = 1e-6  # a variance that changes by no larger share is kept


class Statistics(NamedTuple):
    """Of a function phi of N(0, q).

    Attributes:
      mean: E phi.
      square: E phi^2.
      slopes: E phi'^k for k = 1, 2, 3, 4.
    """

    mean: float
    square: float
    slopes: tuple[float, ...]

    @property
    def variance(self) -> float:
        """Var phi."""
        return self.square - self.mean**2

    @property
    def slope(self) -> float:
        """E phi'^2, the mean squared singular value of phi."""
        return self.slopes[1]

    @property
    def spread(self) -> float:
        """Normalised variance of the squared singular values of phi."""
        return self.slopes[3] / self.slope**2 - 1

    @property
    def growth(self) -> float:
        """Chi behind a batch norm, E phi'^2 / Var phi: pi / (pi - 1) for a ReLU.

        No variance of the weights changes it (Yang et al. 2019).
        """
        return self.slope / self.variance


def statistics_of(function: Function, q: float = 1.0) -> Statistics:
    """The statistics of a function of N(0, q); at q = 0 the limit."""
    scale = max(q, 1e-12) ** 0.5
    values = function(scale * CENTRES)
    slopes = np.diff(function(scale * EDGES)) / (scale * np.diff(EDGES))
    powers = tuple(float(DENSITY @ slopes**power) for power in (1, 2, 3, 4))
    return Statistics(float(DENSITY @ values), float(DENSITY @ values**2), powers)


@functools.cache
def statistics(activation: str, q: float = 1.0) -> Statistics:
    """The statistics of an activation, a key of `FUNCTIONS`."""
    return statistics_of(FUNCTIONS[activation], q)


def variance_map(activation: str, weights: float, bias: float, q: float) -> float:
    """The variance of h' where that of h is q (eq. 6)."""
    square = float(DENSITY @ FUNCTIONS[activation](q**0.5 * CENTRES) ** 2)
    return weights * square + bias


def fixed_points(
    activation: str, weights: float, bias: float
) -> list[tuple[float, float]]:
    """The variances that the map keeps (eq. 7), as intervals from the smallest on.

    An isolated fixed point is an interval of length 0. There may be none: the variance
    then grows for ever.
    """
    grid = [0.0, *VARIANCES.tolist()]
    signs = [_change(activation, weights, bias, q) for q in grid]
    found: list[tuple[float, float]] = []
    for index, sign in enumerate(signs):
        before = signs[index - 1] if index else sign
        if sign == 0:
            low = found.pop()[0] if index and before == 0 else grid[index]
            found.append((low, grid[index]))
        elif sign * before < 0:
            q = _crossing(activation, weights, bias, (grid[index - 1], grid[index]))
            found.append((q, q))
    return found


def _change(activation: str, weights: float, bias: float, q: float) -> int:
    """Whether the map makes a variance larger (1), smaller (-1) or keeps it (0)."""
    change = variance_map(activation, weights, bias, q) - q
    return 0 if abs(change) <= KEPT * q else int(np.sign(change))


def _crossing(
    activation: str, weights: float, bias: float, ends: tuple[float, float]
) -> float:
    """The fixed point between two variances, by bisection."""
    low, high = ends
    grows = variance_map(activation, weights, bias, low) > low
    for _ in range(60):
        middle = (low + high) / 2
        if (variance_map(activation, weights, bias, middle) > middle) == grows:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def chi(activation: str, weights: float, q: float) -> float:
    """Growth of a small difference, and mean squared singular value of a layer (eq. 5).

    Below 1 gradients vanish (order), above 1 they explode (chaos).
    """
    return weights * statistics(activation, q).slope


def random_jacobian(
    rng: np.random.Generator,
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray],
    function: Function,
    weights: float,
    q: float,
    layers: int,
) -> np.ndarray:
    """The Jacobian of a random network of square layers, for comparison with the laws.

    Args:
      rng: of kernels and input.
      draw: kernels of rows with a mean squared norm of 1, transposed.
      function: the activation.
      weights: variance of a layer's outputs for inputs of second moment 1.
      q: variance of the input.
      layers: how many.

    Returns:
      float64[WIDTH, WIDTH].
    """
    state, product = q**0.5 * rng.standard_normal(WIDTH), np.eye(WIDTH)
    for _ in range(layers):
        kernel = weights**0.5 * draw(rng, (WIDTH, WIDTH)).T
        slopes = (function(state + 1e-6) - function(state - 1e-6)) / 2e-6
        product = kernel @ (slopes[:, None] * product)
        state = kernel @ function(state)
    return product


def gaussian(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Independent kernels for `random_jacobian`."""
    return rng.standard_normal(shape) / shape[0] ** 0.5
