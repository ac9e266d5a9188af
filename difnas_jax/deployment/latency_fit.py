"""From the times of ops by themselves to those of networks, and how well that does."""

from typing import Any

import numpy as np

from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.runtime.latency_table import Correction
from difnas_jax.search.additive import sum_along_paths
from difnas_jax.spaces.base import Architecture
from difnas_jax.spaces.image import ImageSpace

FITTED, HELD_OUT = 8, 5  # whole networks, to fit the prediction and to judge it
DRAWN = 1000  # random networks, of which those are taken


def chosen_networks(
    space: ImageSpace, milliseconds: np.ndarray, seed: int
) -> tuple[list[Architecture], list[Architecture]]:
    """The networks that are timed.

    Args:
      space: to draw them from.
      milliseconds: float64[L, O], of each op.
      seed: of the draws.

    Returns:
      `FITTED` to fit the prediction, evenly spread from the fastest to the slowest of
      many random ones, and `HELD_OUT` others, the first that were drawn, to judge it.
      Fewer where the space has few.
    """
    rng = np.random.default_rng(seed)
    drawn = np.stack([rng.choice(layer.ops, DRAWN) for layer in space.layers], axis=1)
    drawn = drawn[space.is_connected(drawn)]
    first = np.unique(space.canonical(drawn), axis=0, return_index=True)[1]
    drawn = drawn[np.sort(first)]
    held_out, others = np.split(drawn, [min(HELD_OUT, len(drawn) // 2)])
    order = np.argsort(sum_along_paths(milliseconds, others), kind="stable")
    spread = np.linspace(0, len(others) - 1, min(FITTED, len(others))).astype(int)
    fitted = others[order[spread]]
    return list(map(tuple, fitted.tolist())), list(map(tuple, held_out.tolist()))


def fit(
    ms: np.ndarray, blocks: np.ndarray, networks: np.ndarray, measured: np.ndarray
) -> Correction:
    """The correction of the least relative squared error.

    It has three numbers, or two or one where three say that a network or an op takes
    less than nothing, or where the networks do not determine them.

    Args:
      ms: float64[L, O], times of the ops by themselves.
      blocks: int64[L, O], of how many blocks each is.
      networks: int[N, L].
      measured: float64[N], their times.
    """
    sums, counts = sum_along_paths(ms, networks), sum_along_paths(blocks, networks)
    terms = np.stack([np.ones(len(sums)), sums, counts], axis=1) / measured[:, None]
    for used in ([0, 1, 2], [0, 1], [1]):
        chosen = terms[:, used]
        if len(used) >= len(sums) or np.linalg.matrix_rank(chosen) < len(used):
            continue
        found = np.zeros(3)
        found[used] = np.linalg.lstsq(chosen, np.ones(len(sums)))[0]
        correction = Correction(*found.tolist())
        if correction.fixed_ms >= 0 and (correction.of_ops(ms, blocks) >= 0).all():
            return correction
    return Correction(max(float(np.mean(measured - sums)), 0.0), 1.0, 0.0)


def agreement(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """How well the latency of networks is predicted.

    Args:
      rows: with `predicted_ms` and `ms`.

    Returns:
      `networks`, how many; `tau_b` of Kendall; `mean_error` and `largest_error`, shares
      of what was measured. None where that is not defined.
    """
    predicted, measured = (
        np.array([r[n] for r in rows]) for n in ("predicted_ms", "ms")
    )
    tau = kendall_tau_b(predicted, measured)
    errors = np.abs(predicted / measured - 1)
    return {
        "networks": len(rows),
        "tau_b": tau if np.isfinite(tau) else None,
        "mean_error": float(errors.mean()) if len(rows) else None,
        "largest_error": float(errors.max()) if len(rows) else None,
    }
