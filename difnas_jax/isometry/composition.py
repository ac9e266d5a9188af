"""Moments of the singular values of random linear maps, and how they compose.

Two independent random maps are free of each other, so the mean squared singular value
of one after the other, and its normalised variance, follow from those of the two.
Kernels have rows of norm 1: behind a batch norm no other scale is left.
"""

from __future__ import annotations

from typing import NamedTuple

from difnas_jax.isometry.mean_field import Statistics


class Law(NamedTuple):
    """Moments of the squared singular values of a random linear map.

    Attributes:
      mean: sum of s^2 for each input.
      spread: variance of s^2 over the square of its mean, over the inputs.
      ratio: outputs for each input.
    """

    mean: float
    spread: float
    ratio: float = 1.0


def chain(*maps: Law) -> Law:
    """One map after another, free of each other.

    A map that widens first spreads its inputs over so many directions that what comes
    behind it weighs so much less.
    """
    mean, spread, ratio = 1.0, 0.0, 1.0
    for law in maps:
        spread += law.spread / ratio
        mean, ratio = mean * law.mean, ratio * law.ratio
    return Law(mean, spread, ratio)


def repeated(layer: Law, depth: int) -> Law:
    """So many equal layers, each with as many outputs as inputs (eq. 8).

    The general law of Pennington et al.: mean chi^L, and a normalised variance of
    L (mu_2 / mu_1^2 - 1 - s_1), s_1 = 0 for orthogonal and -1 for Gaussian kernels.
    """
    return chain(*[layer] * depth)


def stacked(first: Law, second: Law) -> Law:
    """Two maps of the same input, outputs one behind the other."""
    mean = first.mean + second.mean
    variance = first.spread * first.mean**2 + second.spread * second.mean**2
    return Law(mean, variance / mean**2, first.ratio + second.ratio)


def residual(law: Law) -> Law:
    """A map beside its input, x + f(x) (P3)."""
    mean = 1 + law.mean
    variance = 2 * law.mean + law.spread * law.mean**2
    return Law(mean, variance / mean**2)


def half_identity(law: Law) -> Law:
    """One half of the inputs as it is, the other through a map (P5)."""
    mean = (1 + law.mean) / 2
    square = (1 + (1 + law.spread) * law.mean**2) / 2
    return Law(mean, square / mean**2 - 1)


def activated(phi: Statistics) -> Law:
    """An activation: a ReLU is open one time in two, (1/2, 1)."""
    return Law(phi.slope, phi.spread)


def normalized(variance: float) -> Law:
    """Batch norm of inputs with a variance."""
    return Law(1 / variance, 0.0)


def pointwise(inputs: int, outputs: int, gaussian: bool) -> Law:
    """1x1 convolution with rows of norm 1, or a convolution with as many inputs."""
    if gaussian:
        return Law(outputs / inputs, inputs / outputs, outputs / inputs)
    whole, rest = divmod(outputs, inputs)
    share, mean = rest / inputs, outputs / inputs
    square = whole**2 + (2 * whole + 1) * share  # of `whole` I + a projection
    return Law(mean, square / mean**2 - 1, mean)


def dense(side: int, inputs: int, outputs: int, gaussian: bool) -> Law:
    """Convolution of k x k with orthonormal rows or Gaussian ones, rows of norm 1.

    Rows at one position are orthogonal, rows at overlapping positions are not, so that
    orthogonal kernels save one part in k^2.
    """
    if side == 1:
        return pointwise(inputs, outputs, gaussian)
    saved = 0 if gaussian else 1 / side**2
    return Law(outputs / inputs, inputs / outputs - saved, outputs / inputs)


def strided(pixels: float) -> Law:
    """A stride that keeps one of so many pixels."""
    return Law(1 / pixels, pixels - 1, 1 / pixels)
