"""A linear model of the scores evaluated so far, to choose among proposals."""

from __future__ import annotations

import numpy as np

PENALTY = 1.0
STEPS = 200
TOLERANCE = 1e-8  # of the residual at the start


def linear_effects(
    architectures: np.ndarray, scores: np.ndarray, num_ops: int
) -> np.ndarray:
    """How much each op of each layer adds to a score, by ridge regression.

    The model is score = mean + sum over layers of the effect of the op there, with
    `PENALTY` times the squared effects. It is solved by conjugate gradients on the op
    indices. A least-squares routine (`numpy.linalg.lstsq`) would need the dense design
    matrix [N, L * O] and a BLAS, whose threads are slow on a busy machine and whose
    order of summation may change the last bit of a resumed search.

    Args:
      architectures: int[N, L].
      scores: float64[N], finite.
      num_ops: O.

    Returns:
      float64[L, O]; 0 for an op that was never seen.
    """
    layers = architectures.shape[1]
    cells = architectures + num_ops * np.arange(layers)  # [N, L] into L * O effects

    def total(values: np.ndarray) -> np.ndarray:
        """Sum float64[N] over the candidates that have each op."""
        weights = np.repeat(values, layers)
        return np.bincount(cells.ravel(), weights, minlength=layers * num_ops)

    residual = total(scores - scores.mean())
    effects, direction = np.zeros_like(residual), residual
    square = start = (residual**2).sum()
    for _ in range(STEPS):
        if square <= TOLERANCE**2 * start:
            break
        image = total(direction[cells].sum(1)) + PENALTY * direction
        step = square / (direction * image).sum()
        effects = effects + step * direction
        residual = residual - step * image
        square, before = (residual**2).sum(), square
        direction = residual + square / before * direction
    return effects.reshape(layers, num_ops)
