"""Predictions of random matrix theory for the singular values of every op.

Mean squared singular value and its normalised variance of the Jacobian of a block with
random kernels, batch-norm statistics held fixed, for independent inputs of variance 1,
or what an activation makes of such inputs. The activation enters by its moments for
N(0, 1), since a batch norm comes before it. The numbers P1 to P5 of the theory are
special cases for a ReLU: 2.152 for every inverted residual far from the border, 1 + 2/t
for its spread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from difnas_jax.isometry import mean_field
from difnas_jax.isometry.cases import Case, Initialisation
from difnas_jax.isometry.composition import (
    Law,
    activated,
    chain,
    dense,
    half_identity,
    normalized,
    pointwise,
    residual,
    stacked,
    strided,
)
from difnas_jax.isometry.filters import filters, taps_inside


def inverted_residual(case: Case, rule: Initialisation) -> Law:
    """Expand, depthwise, project (P1, P2), without the skip, at its scale beside it."""
    scale = rule.block_scale if case.is_normal else 1.0
    return chain(_unscaled(case, rule), Law(scale**2, 0.0)) if scale else Law(0.0, 0.0)


def _unscaled(case: Case, rule: Initialisation) -> Law:
    """An inverted residual whose last batch norm starts at scale 1."""
    width, gaussian = case.inputs * case.op.expansion, rule.gaussian
    phi = mean_field.statistics(case.activation)
    if rule.aligned and case.op.expansion > 1 and width % 2 == 0:
        pairs = aligned_pairs(case.activation, case.op.expansion)
        project = pointwise(case.inputs, case.outputs, gaussian=False)
        return chain(strided(case.pixels), pairs, project)
    taps, project = filters(case, rule), pointwise(width, case.outputs, gaussian)
    if case.op.expansion == 1:
        return chain(taps.map(), activated(phi), project, normalized(phi.variance))
    expand = pointwise(case.inputs, width, gaussian)
    middle, variance = taps.masked(phi), phi.variance
    scale = normalized(phi.variance / taps.padding(phi))
    if taps.fourth > 1 - 1e-6:  # of one tap
        twice = mean_field.statistics_of(_twice(case.activation))
        middle, variance = chain(strided(case.pixels), activated(twice)), twice.variance
        scale = normalized(1 / taps.padding(phi))
    return chain(expand, scale, middle, project, normalized(variance))


def _twice(activation: str) -> mean_field.Function:
    """An activation behind itself, with a batch norm and nothing else between them."""
    function, phi = mean_field.FUNCTIONS[activation], mean_field.statistics(activation)
    deviation = phi.variance**0.5
    return lambda inputs: function((function(inputs) - phi.mean) / deviation)


def aligned_pairs(activation: str, expansion: int) -> Law:
    """Looks-linear pairs behind batch norms, with as many outputs as inputs. Ours.

    A pair z, -z makes g(z) = phi(phi(z)) - phi(phi(-z)) of its pre-activation, and the
    Jacobian is that of A^T D A, D = diag g'(z): D compressed to the share 2/t of its
    dimensions, which multiplies its free cumulant of order n by (2/t)^(n - 1).
    """
    twice, share = _twice(activation), 2 / expansion
    pair = mean_field.statistics_of(lambda inputs: twice(inputs) - twice(-inputs))
    m1, m2, m3, m4 = pair.slopes
    k2 = share * (m2 - m1**2)
    k3 = share**2 * (m3 - 3 * m1 * m2 + 2 * m1**3)
    k4 = share**3 * (m4 - 4 * m1 * m3 - 2 * m2**2 + 10 * m1**2 * m2 - 5 * m1**4)
    square = k2 + m1**2
    fourth = k4 + 4 * m1 * k3 + 2 * k2**2 + 6 * m1**2 * k2 + m1**4
    # What the last batch norm sees: the linear part of g adds up over the pairs.
    variance = m1**2 + share * (pair.square - m1**2)
    return Law(square / variance, fourth / square**2 - 1)


def identity(case: Case, rule: Initialisation) -> Law:
    """Batch norm, or a strided 1x1 convolution with batch norm."""
    if case.is_normal:
        return normalized(1)
    channels = pointwise(case.inputs, case.outputs, rule.gaussian)
    return chain(strided(case.pixels), channels)


def relu_conv(case: Case, rule: Initialisation) -> Law:
    """Activation, convolution, batch norm."""
    side, phi = case.op.kernel, mean_field.statistics(case.activation)
    taps = taps_inside(side, case.side, 1)
    inside = np.multiply.outer(taps, taps)
    signal = inside.mean() * phi.variance
    uneven = (inside - inside**2).mean() * phi.mean**2
    scale = normalized(phi.variance * (1 + uneven / signal))
    kernel = dense(side, case.inputs, case.outputs, rule.gaussian)
    return chain(activated(phi), kernel, scale)


def avg_pool(case: Case, rule: Initialisation) -> Law:
    """Mean over neighbours, and batch norm if any: exact, nothing in it is random."""
    pixels = np.arange(case.side)
    near = abs(pixels[:, None] - pixels) <= case.op.kernel // 2
    rows = near / near.sum(1, keepdims=True)
    axis = case.side * np.sum((rows @ rows.T) ** 2) / np.sum(rows**2) ** 2
    mean = 1.0 if case.op.indicator else (np.sum(rows**2) / case.side) ** 2
    return Law(float(mean), float(axis**2 - 1))


def fully_connected(case: Case, rule: Initialisation) -> Law:
    """A layer and its activation, without the skip: always Gaussian, no batch norm."""
    phi = mean_field.statistics(case.op.activation)
    return chain(pointwise(case.inputs, case.outputs, gaussian=True), activated(phi))


def _separable(case: Case, rule: Initialisation, inputs: int, outputs: int) -> Law:
    """Depthwise and 1x1 convolution behind an activation, another behind them."""
    taps, phi = filters(case, rule), mean_field.statistics(case.activation)
    scale = normalized(phi.variance / taps.padding(phi))
    mix = pointwise(inputs, outputs, rule.gaussian)
    return chain(taps.map(), scale, mix, activated(phi))


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
    phi = mean_field.statistics(case.activation)
    branch = chain(expand, normalized(phi.variance), activated(phi), last)
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
    "dense": fully_connected,
    "identity": identity,
    "inverted_residual": inverted_residual,
    "relu_conv": relu_conv,
    "shuffle": shuffle,
    "xception": xception,
    "zero": zero,
}
PASSING: dict[str, Callable[[Law], Law]] = {
    "dense": residual,
    "inverted_residual": residual,
    "shuffle": half_identity,
    "xception": half_identity,
}


def passes(case: Case) -> bool:
    """Whether something passes beside the part of a block that is random."""
    return case.is_normal and case.op.skip and case.op.kind in PASSING


def law(case: Case, rule: Initialisation, part: str) -> Law:
    """The predicted moments of an op.

    With centre taps only, a stride leaves out pixels before anything else happens.

    Args:
      case: the op and its shape.
      rule: the initial kernels.
      part: `branch` or `op`, see `singular_values.measure`.
    """
    branch = BRANCHES[case.op.kind]
    if case.stride > 1 and rule.depthwise == "delta":
        return chain(strided(case.pixels), branch(case.after_stride, rule))
    expected = branch(case, rule)
    whole = part == "op" and passes(case)
    return PASSING[case.op.kind](expected) if whole else expected
