"""What is read from the gammas of a supernet, in the attempts of ATTEMPTS.md."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from difnas_jax.models.layers import layer_name
from difnas_jax.models.logit_norm import LOGIT_GAMMAS
from difnas_jax.spaces.base import IDENTITY, SearchSpace

Gammas = dict[tuple[str, ...], np.ndarray]
INSIDE = ("bn_expand", "bn_depthwise", "bn_project")
LAST = ("bn_project",)
NUMBERS = ("numbers",)  # the name of those that train beside the gammas


def _by_op(
    gammas: Gammas,
    space: SearchSpace,
    names: tuple[str, ...],
    read: Callable[[np.ndarray], float],
) -> np.ndarray:
    """float64[L, O]: the sum of what is read of these batch norms; 0 without any."""
    table = np.zeros(space.allowed.shape)
    for layer, op in np.argwhere(space.allowed):
        for name in names:
            scale = gammas.get((layer_name(layer), space.ops[op].name, name, "scale"))
            table[layer, op] += 0.0 if scale is None else read(scale)
    return table


def growth(gammas: Gammas, space: SearchSpace) -> np.ndarray:
    """Log of the growth of the variance of the residual stream by a block.

    The variance in front of it is that of the stage so far, where the ops before count
    by the mean of their squared gammas.
    """
    squares = _by_op(gammas, space, LAST, lambda scale: float((scale**2).mean()))
    table, before = np.zeros_like(squares), 1.0
    for layer, shape in enumerate(space.layers):
        before = before if shape.is_normal else 1.0
        table[layer] = np.log1p(squares[layer] / before)
        before += squares[layer].mean() if shape.is_normal else 0.0
    return table


def variance_share(gammas: Gammas, space: SearchSpace) -> np.ndarray:
    """Log of gamma^2 / (gamma^2 + gamma^2 of the identity); a dropped layer scores low.

    Where a layer has no identity with batch norm, of gamma^2 over the mean of its ops.
    """
    squares = _by_op(gammas, space, LAST, lambda scale: float((scale**2).mean()))
    names = [op.name for op in space.ops if op.kind == IDENTITY.kind]
    for layer, row in enumerate(squares):
        key = layer_name(layer), names[0], "bn_identity", "scale"
        if key in gammas:
            beside = float((gammas[key] ** 2).mean())
            squares[layer] = row / (row + beside)
        else:
            squares[layer] = row / (row + row.mean())
    return np.log(np.maximum(squares, 1e-3))


def log_shares(gammas: Gammas, space: SearchSpace) -> np.ndarray:
    """Of the numbers that train beside the gammas, in a budget of their layer."""
    numbers = gammas[NUMBERS]
    return numbers - np.log(np.exp(numbers).sum(1, keepdims=True))


READINGS: dict[str, Callable[[Gammas, SearchSpace], np.ndarray]] = {
    "moved": lambda gammas, space: _by_op(
        gammas, space, INSIDE, lambda scale: float(np.abs(scale - 1).sum())
    ),
    "moved squared": lambda gammas, space: _by_op(
        gammas, space, INSIDE, lambda scale: float(((scale - 1) ** 2).sum())
    ),
    "last summed": lambda gammas, space: _by_op(
        gammas, space, LAST, lambda scale: float(np.abs(scale).sum())
    ),
    "growth": growth,
    "switched off": lambda gammas, space: (
        -_by_op(
            gammas,
            space,
            ("bn_depthwise",),
            lambda scale: float((np.abs(scale) < np.abs(scale).max() / 10).mean()),
        )
    ),
    "variance share": variance_share,
    "numbers": lambda gammas, space: gammas[NUMBERS],
    "log shares": log_shares,
    "logits": lambda gammas, space: gammas[LOGIT_GAMMAS],
}
