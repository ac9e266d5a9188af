"""Statistics of passes through a supernet: fairness of gradients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from difnas_jax.isometry.depth import listed
from difnas_jax.isometry.passes import Passes
from difnas_jax.spaces.base import SearchSpace


class Fairness(NamedTuple):
    """How equal the gamma gradients of one supernet are.

    Attributes:
      rms: [L, O], root mean square over channels and passes; NaN where none is.
      noise: [L, O], relative standard error of it over the draws.
      within: [L], coefficient of variation over the ops of each layer.
      blocks: mean over layers of the same over the ops but the identity.
      behind_even: mean over layers of `within`, after the square of each gradient is
        divided by that of the gradient behind the layer: what the ops themselves do.
      across: coefficient of variation over the layers of the mean of their ops.
      chance: the part of `within`, mean over layers, that the noise alone would give.
      ratio: mean of the first layer to that of the last.
      slope: factor from one layer to the next, least squares on the logarithm.
      spread_within: largest to smallest op, median over layers.
      spread_across: largest to smallest layer.
    """

    rms: np.ndarray
    noise: np.ndarray
    within: np.ndarray
    blocks: float
    behind_even: float
    across: float
    chance: float
    ratio: float
    slope: float
    spread_within: float
    spread_across: float


# Numbers of `Fairness` that a table shows, `within` by its mean.
MEASURES = (
    "within",
    "blocks",
    "behind_even",
    "chance",
    "across",
    "spread_within",
    "spread_across",
    "ratio",
    "slope",
)


def fairness(found: Passes, space: SearchSpace) -> Fairness:
    """Summarise the gamma gradients.

    Args:
      found: draws of one supernet.
      space: that its paths are in.
    """
    draws = _mean(found.gamma, 1)  # [D, L, O]
    square = _mean(draws, 0)
    rms = np.sqrt(square)
    even = _mean(_mean(found.gamma / found.gradient[..., None] ** 2, 1), 0)
    # Relative error of a root: half of that of the square.
    count = len(draws)
    error = np.sqrt(_mean((draws - square) ** 2, 0) / max(count - 1, 1))
    noise = error / square / 2
    chosen = [number for number, row in enumerate(rms) if np.isfinite(row).sum() > 1]
    within = np.full(space.num_layers, np.nan)
    within[chosen] = _variation(rms[chosen])
    blocks = [op.kind != "identity" for op in space.ops]
    means = np.nanmean(rms[chosen], 1)
    spans = np.nanmax(rms[chosen], 1) / np.nanmin(rms[chosen], 1)
    return Fairness(
        rms=rms,
        noise=noise,
        within=within,
        blocks=float(_variation(rms[chosen][:, blocks]).mean()),
        behind_even=float(_variation(np.sqrt(even[chosen])).mean()),
        across=float(means.std() / means.mean()),
        chance=float(np.sqrt(np.nanmean(noise[chosen] ** 2))),
        ratio=float(means[0] / means[-1]),
        slope=float(np.exp(np.polyfit(chosen, np.log(means), 1)[0])),
        spread_within=float(np.median(spans)),
        spread_across=float(means.max() / means.min()),
    )


def _variation(rows: np.ndarray) -> np.ndarray:
    """Coefficient of variation of each row."""
    return np.nanstd(rows, 1) / np.nanmean(rows, 1)


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean of the finite values, NaN where there are none."""
    count = np.isfinite(values).sum(axis)
    return np.where(count, np.nansum(values, axis) / np.maximum(count, 1), np.nan)


def measures(found: Fairness) -> dict[str, float]:
    """The numbers of `MEASURES`."""
    values = found._asdict() | {"within": np.nanmean(found.within)}
    return {name: float(values[name]) for name in MEASURES}


def to_json(found: Fairness) -> dict[str, Any]:
    """The same as JSON values, None for NaN."""
    return {
        name: listed(value) if isinstance(value, np.ndarray) else value
        for name, value in found._asdict().items()
    }
