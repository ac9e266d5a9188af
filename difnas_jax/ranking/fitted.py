"""A ranking that is fitted to some accuracies: ridge regression on pairs of features.

It is no training-free score, since it needs the accuracies of trained networks, and is
called fitted wherever it stands.
"""

from collections.abc import Callable

import numpy as np

PENALTY = 0.2  # between 0.1 and 0.5 nothing changes on NAS-Bench-201


def fit(
    features: np.ndarray, accuracies: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Fit the logarithm of the error by features, their squares and products of two.

    The regression is linear with a ridge penalty, in the form that has a kernel:
    (1 + x'y / F)^2 of standardised features x and y. The logarithm spreads the best
    networks, whose errors are nearly the same, as far as the worst.

    Source: Saunders et al., "Ridge regression learning algorithm in dual variables",
    ICML 1998.

    Args:
      features: float64[N, F].
      accuracies: float64[N], in percent.

    Returns:
      float64[M, F] -> float64[M], larger for better networks.
    """
    centre, scale = features.mean(0), features.std(0)
    scale = np.where(scale > 0, scale, 1.0)

    def kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (1 + first @ second.T / features.shape[1]) ** 2

    known = (features - centre) / scale
    target = -np.log1p(100 - accuracies)  # finite also without an error
    penalised = kernel(known, known) + PENALTY * np.eye(len(known))
    weights = np.linalg.solve(penalised, target - target.mean())
    return lambda others: kernel((others - centre) / scale, known) @ weights
