"""Rank correlations with bootstrap intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from difnas_jax.ranking import correlation

RESAMPLES = 1000
WEIGHTED_RESAMPLES = 200  # of the weighted tau
FEWEST = 10  # networks for which an interval is given
PERCENTILES = (2.5, 97.5)


def correlations(
    scores: np.ndarray, accuracies: np.ndarray, groups: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """Rank correlations of scores with accuracies, each with a 95 % interval.

    The interval is that of the percentile bootstrap over networks and, where there are
    several rows of scores, over these too: the resamples are dealt to the rows in turn.

    Source: Efron, "Bootstrap methods: another look at the jackknife", Annals of
    Statistics 1979.

    Args:
      scores: float64[S, N], one row for each trained supernet.
      accuracies: float64[N].
      groups: int[N], the number of the network of each entry; entries of one network
        are drawn together.
      seed: of the bootstrap.

    Returns:
      `n`, and of each of `CORRELATIONS` its mean over rows, None where it is not
      defined; for each, `<name>_interval`, [low, high], or None where there are fewer
      than `FEWEST` networks or the value is not defined.
    """
    numbers, members = np.unique(groups, return_inverse=True)
    intervals = {}
    if len(numbers) >= FEWEST:
        rng = np.random.default_rng(seed)
        equal = np.full(len(numbers), 1 / len(numbers))
        drawn = rng.multinomial(len(numbers), equal, size=RESAMPLES)
        intervals = _intervals(scores, accuracies, drawn[:, members])
    result: dict[str, Any] = {"n": len(accuracies)}
    for name, statistic in correlation.CORRELATIONS.items():
        values = [statistic(row, accuracies) for row in scores]
        known = len(accuracies) > 1 and np.isfinite(values).all()
        result[name] = float(np.mean(values)) if known else None
        result[f"{name}_interval"] = intervals.get(name) if known else None
    return result


def _intervals(
    scores: np.ndarray, accuracies: np.ndarray, times: np.ndarray
) -> dict[str, list[float]]:
    """95 % intervals by name of the correlation, where they are finite.

    Args:
      scores: float64[S, N].
      accuracies: float64[N].
      times: int[R, N], how often each entry is in each resample.
    """
    resampled = []
    for number, row in enumerate(scores):
        part = times[number :: len(scores)]
        sums = correlation.pair_sums(row, accuracies, part)
        few = WEIGHTED_RESAMPLES // len(scores)
        weighted = correlation.resampled_weighted_tau(
            row, accuracies, part[:few], sums[:, :few]
        )
        tau_b = correlation.resampled_tau_b(part, sums)
        spearman = correlation.resampled_spearman(part, sums)
        resampled.append((tau_b, spearman, weighted))
    intervals = {}
    by_name = zip(correlation.CORRELATIONS, zip(*resampled, strict=True), strict=True)
    for name, values in by_name:
        bounds = np.percentile(np.concatenate(values), PERCENTILES)
        if np.isfinite(bounds).all():
            intervals[name] = bounds.tolist()
    return intervals
