"""Variance and gradient from layer to layer of a supernet: law and measurement.

Far from borders, and for inputs that no layer has correlated. A batch norm resets the
variance to gamma^2 = 1, so what grows is what passes beside it; gradients grow by
chi = E phi'^2 / Var phi at every pair of batch norm and activation, and no kernels
change that. The kernels change the spread of the singular values (`laws`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from difnas_jax.isometry import mean_field
from difnas_jax.isometry.laws import aligned_pairs
from difnas_jax.isometry.mean_field import Statistics
from difnas_jax.isometry.passes import Passes
from difnas_jax.models.network import Network
from difnas_jax.spaces.base import Op


class Start(NamedTuple):
    """How a supernet starts.

    Attributes:
      activation: key of `ACTIVATIONS`.
      aligned: whether its inverted residuals are made of looks-linear pairs.
      block_scale: see `initialize`.
    """

    activation: str
    aligned: bool
    block_scale: float = 1.0

    @property
    def phi(self) -> Statistics:
        """The activation behind a batch norm."""
        return mean_field.statistics(self.activation)


class Transfer(NamedTuple):
    """What a layer does to its input of variance q.

    Attributes:
      variance: of its output, without what is added to it untouched.
      growth: squared norm of the gradient in front of it over that behind it, without
        the same.
      skip: amplitude with which the input is added.
    """

    variance: float
    growth: float
    skip: float


def inverted_residual(op: Op, normal: bool, start: Start, q: float) -> Transfer:
    """Batch norm at the end; one or two activations inside; a skip (P1, P3)."""
    if op.expansion == 1:
        growth = start.phi.growth
    elif start.aligned:
        growth = aligned_pairs(start.activation, op.expansion).mean
    else:
        growth = start.phi.growth**2
    square = start.block_scale**2 if normal else 1.0
    return Transfer(square, square * growth / q, float(normal))


def identity(op: Op, normal: bool, start: Start, q: float) -> Transfer:
    """With batch norm, or as it is."""
    if normal and not op.indicator:
        return Transfer(0.0, 0.0, 1.0)
    return Transfer(1.0, 1 / q, 0.0)


def shuffle(op: Op, normal: bool, start: Start, q: float) -> Transfer:
    """Half of the channels passes, half comes out of an activation (P5)."""
    return _halves(start.phi.growth**2, normal, start, q)


def xception(op: Op, normal: bool, start: Start, q: float) -> Transfer:
    """The same with three pairs of batch norm and activation."""
    return _halves(start.phi.growth**3, normal, start, q)


def _halves(steady: float, normal: bool, start: Start, q: float) -> Transfer:
    """`steady`: growth of the main branch at the variance of an activation."""
    phi = start.phi
    branch = steady * phi.variance / q
    if normal:  # the half that passes gets to other channels
        return Transfer((q + phi.variance) / 2, (1 + branch) / 2, 0.0)
    beside = phi.growth * phi.variance / q
    return Transfer(phi.variance, (beside + branch) / 2, 0.0)


TRANSFER: dict[str, Callable[[Op, bool, Start, float], Transfer]] = {
    "identity": identity,
    "inverted_residual": inverted_residual,
    "shuffle": shuffle,
    "xception": xception,
}


def through_layer(transfer: Transfer, q: float, parallel: bool) -> tuple[float, float]:
    """Variance behind a layer, and growth of the squared gradient through it.

    A parallel identity with batch norm, x / sqrt(q), and a skip point the same way, so
    that their amplitudes add. The half of a ShuffleNetV2 block that passes gets to
    other channels; that these are correlated after some layers is left out.
    """
    skip = transfer.skip + parallel / q**0.5
    return transfer.variance + skip**2 * q, transfer.growth + skip**2


def depth(found: Passes, model: Network, start: Start) -> dict[str, np.ndarray]:
    """Signal and gradient by layer, geometric means over all passes.

    Args:
      found: draws of one supernet.
      model: the supernet.
      start: how it starts.

    Returns:
      float[L] each: `square` and `variance` of the output of each layer, and
      `variance_law`, what the maps of all layers before make of the measured variance
      behind the first; `gradient`, the norm of the gradient there, as a multiple of
      that behind the last layer; `growth` of the squared norm through the layer, NaN
      for the first, and `growth_law` for the measured variance of its input.
    """
    growth = (found.gradient[..., :-1] / found.gradient[..., 1:]) ** 2
    variance_law, growth_law = laws(found, model, start)
    return {
        "square": geometric(found.square),
        "variance": geometric(found.variance),
        "variance_law": geometric(variance_law),
        "gradient": geometric(found.gradient / found.gradient[..., -1:]),
        "growth": np.append(np.nan, geometric(growth)),
        "growth_law": np.append(np.nan, geometric(growth_law)),
    }


def laws(found: Passes, model: Network, start: Start) -> tuple[np.ndarray, np.ndarray]:
    """Variances by the maps alone [D, K, L], and growths [D, K, L - 1]."""
    variances, growths = found.variance.copy(), found.variance[..., 1:].copy()
    for draw, path, last in np.ndindex(growths.shape):
        layer = last + 1
        op = model.space.ops[found.paths[draw, path, layer]]
        normal = model.space.layers[layer].is_normal
        beside = layer in model.parallel_identity
        behind = []
        for values in (variances, found.variance):
            q = float(values[draw, path, last])
            transfer = TRANSFER[op.kind](op, normal, start, q)
            if beside and not model.own_skip:
                transfer = transfer._replace(skip=0.0)
            behind.append(through_layer(transfer, q, beside))
        variances[draw, path, layer] = behind[0][0]
        growths[draw, path, last] = behind[1][1]
    return variances, growths


def geometric(values: np.ndarray) -> np.ndarray:
    """[D, K, L] -> [L]."""
    return np.exp(np.log(values).mean((0, 1)))


def listed(values: np.ndarray) -> list[Any]:
    """An array as lists, None for NaN."""
    if values.ndim > 1:
        return [listed(row) for row in values]
    return [None if np.isnan(value) else float(value) for value in values]
