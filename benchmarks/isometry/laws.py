"""Predictions of random matrix theory for the singular values of every op.

Mean squared singular value and its normalised variance of the Jacobian of a block with
random kernels, batch-norm statistics held fixed, for independent inputs of variance 1,
or the ReLU of such inputs. The numbers P1 to P5 of the theory are special cases: 2.152
for every inverted residual far from the border, 1 + 2/t for its spread.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.isometry.cases import Case, Initialisation
from benchmarks.isometry.composition import (
    ACTIVATION,
    RECTIFIED_MEAN,
    RECTIFIED_VARIANCE,
    Law,
    chain,
    dense,
    half_identity,
    normalized,
    pointwise,
    residual,
    stacked,
    strided,
)

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

    def padding(self, case: Case, mean: float, variance: float) -> float:
        """Factor by which zeros outside the image lower E[s^2] behind the batch norm.

        Inputs with a mean add the pattern of the border to the variance.
        """
        signal = self.inside * variance
        return signal / (signal + self.uneven * mean**2)

    def map(self) -> Law:
        """The depthwise convolution."""
        spread = self.pixels * (1 + self.overlap) - 1
        return Law(1 / self.pixels, spread, 1 / self.pixels)

    def masked(self) -> Law:
        """The same between two ReLUs."""
        square = 2 + 2 * self.fourth + self.overlap + self.meeting
        spread = self.pixels * square - 1
        return Law(0.25 / self.pixels, spread, 1 / self.pixels)


@functools.cache
def filters(case: Case, rule: Initialisation) -> Filters:
    """Of the depthwise kernels of an op, from many that are drawn by its rule."""
    side, stride = case.op.kernel, case.stride
    shape = side, side, 1, FILTERS
    drawn = rule.rules["depthwise"](np.random.default_rng(0), shape)[:, :, 0]
    drawn = drawn / np.linalg.norm(drawn, axis=(0, 1))  # [k, k, N]
    squares = drawn**2
    lags = _autocorrelation(drawn, stride)
    meeting = _autocorrelation(squares, stride)
    taps = _taps_inside(side, case.side, stride)
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


def _taps_inside(side: int, size: int, stride: int) -> np.ndarray:
    """[k]: the share of positions at which each tap of an axis is inside the image."""
    positions = np.arange(0, size, stride)[:, None] + np.arange(side) - side // 2
    return ((positions >= 0) & (positions < size)).mean(0)


def inverted_residual(case: Case, rule: Initialisation) -> Law:
    """Expand, depthwise, project (P1, P2), without the skip."""
    width, gaussian = case.inputs * case.op.expansion, rule.gaussian
    taps, project = filters(case, rule), pointwise(width, case.outputs, gaussian)
    if case.op.expansion == 1:
        return chain(taps.map(), ACTIVATION, project, normalized(RECTIFIED_VARIANCE))
    expand = pointwise(case.inputs, width, gaussian)
    padding = taps.padding(case, RECTIFIED_MEAN, RECTIFIED_VARIANCE)
    middle, variance = taps.masked(), RECTIFIED_VARIANCE
    if taps.fourth > 1 - 1e-6:
        middle, variance = _one_tap(case.pixels)
    scale = normalized(RECTIFIED_VARIANCE / padding)
    return chain(expand, scale, middle, project, normalized(variance))


def _one_tap(pixels: float) -> tuple[Law, float]:
    """Two ReLUs around a filter of one tap, and the variance behind them.

    The second sees what the first left, less its mean: it opens where the first was
    above 0.399 standard deviations, and the other one is open there.
    """
    normal = statistics.NormalDist()
    height = normal.pdf(RECTIFIED_MEAN)
    share = 1 - normal.cdf(RECTIFIED_MEAN)
    mean = height - RECTIFIED_MEAN * share
    square = (1 + RECTIFIED_MEAN**2) * share - RECTIFIED_MEAN * height
    mask = Law(share, 1 / share - 1)
    return chain(strided(pixels), mask), (square - mean**2) / RECTIFIED_VARIANCE


def identity(case: Case, rule: Initialisation) -> Law:
    """Batch norm, or a strided 1x1 convolution with batch norm."""
    if case.is_normal:
        return normalized(1)
    channels = pointwise(case.inputs, case.outputs, rule.gaussian)
    return chain(strided(case.pixels), channels)


def relu_conv(case: Case, rule: Initialisation) -> Law:
    """ReLU, convolution, batch norm."""
    side = case.op.kernel
    taps = _taps_inside(side, case.side, 1)
    inside = np.multiply.outer(taps, taps)
    signal = inside.mean() * RECTIFIED_VARIANCE
    uneven = (inside - inside**2).mean() * RECTIFIED_MEAN**2
    scale = normalized(RECTIFIED_VARIANCE * (1 + uneven / signal))
    kernel = dense(side, case.inputs, case.outputs, rule.gaussian)
    return chain(ACTIVATION, kernel, scale)


def avg_pool(case: Case, rule: Initialisation) -> Law:
    """Mean over neighbours and batch norm: exact, there is nothing random in it."""
    pixels = np.arange(case.side)
    near = abs(pixels[:, None] - pixels) <= case.op.kernel // 2
    rows = near / near.sum(1, keepdims=True)
    axis = case.side * np.sum((rows @ rows.T) ** 2) / np.sum(rows**2) ** 2
    return Law(1.0, float(axis**2 - 1))


def _separable(case: Case, rule: Initialisation, inputs: int, outputs: int) -> Law:
    """Depthwise and 1x1 convolution behind a ReLU, a ReLU behind them."""
    taps = filters(case, rule)
    padding = taps.padding(case, RECTIFIED_MEAN, RECTIFIED_VARIANCE)
    scale = normalized(RECTIFIED_VARIANCE / padding)
    mix = pointwise(inputs, outputs, rule.gaussian)
    return chain(taps.map(), scale, mix, ACTIVATION)


def _beside(case: Case, rule: Initialisation, branch: Law) -> Law:
    """The main branch of a reducing block, and the one beside it."""
    if case.is_normal:
        return branch
    return stacked(_separable(case, rule, case.inputs, case.inputs), branch)


def shuffle(case: Case, rule: Initialisation) -> Law:
    """1x1, depthwise, 1x1 (P5), without the half that passes."""
    inputs = case.branch_inputs
    hidden, outputs = case.outputs // 2, case.branch_outputs
    expand = pointwise(inputs, hidden, rule.gaussian)
    last = _separable(case, rule, hidden, outputs)
    branch = chain(expand, normalized(RECTIFIED_VARIANCE), ACTIVATION, last)
    return _beside(case, rule, branch)


def xception(case: Case, rule: Initialisation) -> Law:
    """Three separable convolutions (P5), without the half that passes."""
    hidden, kept = case.outputs // 2, case.after_stride
    first = _separable(case, rule, case.branch_inputs, hidden)
    second = _separable(kept, rule, hidden, hidden)
    last = _separable(kept, rule, hidden, case.branch_outputs)
    return _beside(case, rule, chain(first, second, last))


def zero(case: Case, rule: Initialisation) -> Law:
    """The op that outputs zeros."""
    return Law(0.0, 0.0)


# The part of a block that is random, by kind of op; then what passes beside it.
BRANCHES: dict[str, Callable[[Case, Initialisation], Law]] = {
    "avg_pool": avg_pool,
    "identity": identity,
    "inverted_residual": inverted_residual,
    "relu_conv": relu_conv,
    "shuffle": shuffle,
    "xception": xception,
    "zero": zero,
}
PASSING: dict[str, Callable[[Law], Law]] = {
    "inverted_residual": residual,
    "shuffle": half_identity,
    "xception": half_identity,
}


def law(case: Case, rule: Initialisation, part: str) -> Law:
    """The predicted moments of an op.

    With centre taps only, a stride leaves out pixels before anything else happens.

    Args:
      case: the op and its shape.
      rule: the initial kernels.
      part: `branch` or `op`, see `spectra.measure`.
    """
    branch = BRANCHES[case.op.kind]
    if case.stride > 1 and rule.depthwise == "delta":
        return chain(strided(case.pixels), branch(case.after_stride, rule))
    passes = part == "op" and case.is_normal and case.op.kind in PASSING
    expected = branch(case, rule)
    return PASSING[case.op.kind](expected) if passes else expected
