"""A linear model of what was evaluated, to choose among proposals."""

from __future__ import annotations

import numpy as np

PENALTY = 1.0


def main_effects(
    architectures: np.ndarray, scores: np.ndarray, num_ops: int
) -> np.ndarray:
    """How much each op of each layer adds to a score, by ridge regression.

    The model is score = mean + sum over layers of the effect of the op there, with
    `PENALTY` times the squared effects.

    Args:
      architectures: int[N, L].
      scores: float64[N], finite.
      num_ops: O.

    Returns:
      float64[L, O]; 0 for an op that was never seen.
    """
    layers = architectures.shape[1]
    features = np.arange(num_ops) == architectures[:, :, None]  # [N, L, O]
    design = features.reshape(len(scores), layers * num_ops).astype(np.float64)
    together = design.T @ design + PENALTY * np.eye(layers * num_ops)
    effects = np.linalg.solve(together, design.T @ (scores - scores.mean()))
    return effects.reshape(layers, num_ops)
