"""Statistics of random depthwise filters, on which the spread of a block depends."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from difnas_jax.isometry.cases import Case, Initialisation
from difnas_jax.isometry.composition import Law
from difnas_jax.isometry.mean_field import Statistics

FILTERS = 1000


class Filters(NamedTuple):
    """Statistics of random filters of norm 1, at a stride and near a border.

    Attributes:
      fourth: mean of the sum of w^4.
      overlap: mean of the sum of squares of the autocorrelation over lags but 0.
      meeting: the same sum of the autocorrelation of w^2, not squared.
      inside: share of w^2 that falls inside the image.
      uneven: the same, minus what every pixel has in common.
      pixels: of the input for each of the output.
    """

    fourth: float
    overlap: float
    meeting: float
    inside: float
    uneven: float
    pixels: float

    def padding(self, phi: Statistics) -> float:
        """Factor by which zeros outside the image lower E[s^2] behind the batch norm.

        Inputs with a mean, those behind the activation, add the pattern of the border
        to the variance.
        """
        signal = self.inside * phi.variance
        return signal / (signal + self.uneven * phi.mean**2)

    def map(self) -> Law:
        """The depthwise convolution."""
        spread = self.pixels * (1 + self.overlap) - 1
        return Law(1 / self.pixels, spread, 1 / self.pixels)

    def masked(self, phi: Statistics) -> Law:
        """The same between two activations."""
        own = (1 + phi.spread) * (1 + phi.spread * self.fourth)
        square = own + self.overlap + phi.spread * self.meeting
        spread = self.pixels * square - 1
        return Law(phi.slope**2 / self.pixels, spread, 1 / self.pixels)


@functools.cache
def filters(case: Case, rule: Initialisation) -> Filters:
    """Of the depthwise kernels of an op, from many that are drawn by its rule."""
    side, stride = case.op.kernel, case.stride
    shape = side, side, 1, FILTERS
    drawn = rule.filters(np.random.default_rng(0), shape)[:, :, 0]
    drawn = drawn / np.linalg.norm(drawn, axis=(0, 1))  # [k, k, N]
    squares = drawn**2
    lags = _autocorrelation(drawn, stride)
    meeting = _autocorrelation(squares, stride)
    taps = taps_inside(side, case.side, stride)
    inside = np.multiply.outer(taps, taps)
    weights = squares.mean(-1)
    return Filters(
        fourth=float((squares**2).sum((0, 1)).mean()),
        overlap=float((lags**2).sum((0, 1)).mean() - 1),
        meeting=float((meeting.sum((0, 1)) - (squares**2).sum((0, 1))).mean()),
        inside=float((weights * inside).sum()),
        uneven=float((weights * (inside - inside**2)).sum()),
        pixels=case.pixels,
    )


def _autocorrelation(values: np.ndarray, stride: int) -> np.ndarray:
    """[k, k, N] -> that at the lags, cyclic, which are multiples of the stride."""
    size = 2 * stride * len(values)
    spectrum = np.abs(np.fft.fft2(values, (size, size), axes=(0, 1))) ** 2
    return np.fft.ifft2(spectrum, axes=(0, 1)).real[::stride, ::stride]


def taps_inside(side: int, size: int, stride: int) -> np.ndarray:
    """[k]: the share of positions at which each tap of an axis is inside the image."""
    positions = np.arange(0, size, stride)[:, None] + np.arange(side) - side // 2
    return ((positions >= 0) & (positions < size)).mean(0)
