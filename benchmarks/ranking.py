"""How well a score ranks networks of known accuracy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.macro_table import MacroTable

RESAMPLES = 1000
FEWER_RESAMPLES = 200  # of what is not computed for all of them at once
# Bands of MACs (in millions, at 32 pixels) within which size tells little.
BANDS = ((0, 40), (40, 60), (60, 80), (80, 1000))
BUDGETS: tuple[int | None, ...] = (40, 60, 80, None)
CHANCES = 20  # random rankings that are averaged
FEWEST = 10  # networks of which a rank correlation is given

Statistic = Callable[[np.ndarray, np.ndarray], float]


def tau_b(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Kendall's tau-b; NaN where one side is constant."""
    result: Any = stats.kendalltau(scores, accuracies)
    return float(result.statistic)


def spearman(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Spearman's rho; NaN where one side is constant."""
    ranks = stats.rankdata(scores), stats.rankdata(accuracies)
    if any(np.ptp(rank) == 0 for rank in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def weighted_tau(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Vigna's weighted tau: agreement about the best networks counts most."""
    if np.ptp(scores) == 0 or np.ptp(accuracies) == 0:
        return float("nan")
    result: Any = stats.weightedtau(scores, accuracies)
    return float(result.statistic)


STATISTICS: dict[str, Statistic] = {
    "tau_b": tau_b,
    "spearman": spearman,
    "weighted_tau": weighted_tau,
}


def correlations(
    scores: np.ndarray, table: MacroTable, *, seed: int = 0
) -> dict[str, Any]:
    """Rank correlations of scores with accuracies, each with a 95 % interval.

    The interval is that of the percentile bootstrap over networks (all names of a
    network together) and, where there are several rows of scores, over these too.

    Args:
      scores: float64[S, N], one row for each trained supernet.
      table: N names.
      seed: of the bootstrap.

    Returns:
      `n`, and `tau_b`, `spearman` and `weighted_tau`, means over rows; for each,
      `<name>_interval`, or None where there are less than `FEWEST` networks or the
      value is not defined.
    """
    result: dict[str, Any] = {"n": len(table)}
    numbers, places = np.unique(table.network, return_inverse=True)
    bounds = {}
    if len(numbers) >= FEWEST:
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(
            len(numbers), np.full(len(numbers), 1 / len(numbers)), size=RESAMPLES
        )
        bounds = _intervals(scores, table.accuracies, drawn[:, places])
    for name, statistic in STATISTICS.items():
        found = [statistic(row, table.accuracies) for row in scores]
        known = len(table) > 1 and np.isfinite(found).all()
        result[name] = float(np.mean(found)) if known else None
        result[f"{name}_interval"] = bounds.get(name) if known else None
    return result


def _intervals(
    scores: np.ndarray, accuracies: np.ndarray, weights: np.ndarray
) -> dict[str, list[float]]:
    """95 % intervals by name, where they are finite.

    Args:
      scores: float64[S, N].
      accuracies: float64[N].
      weights: int[R, N], how often each name is in each resample; the resamples are
        dealt to the rows of scores in turn.
    """
    values: dict[str, list[np.ndarray]] = {name: [] for name in STATISTICS}
    for number, row in enumerate(scores):
        part = weights[number :: len(scores)]
        few = part[: FEWER_RESAMPLES // len(scores)].astype(np.int64)
        values["tau_b"].append(_tau_of_resamples(row, accuracies, part))
        values["spearman"].append(_spearman_of_resamples(row, accuracies, part))
        repeated = (np.repeat(np.arange(len(row)), times) for times in few)
        weighted = [weighted_tau(row[index], accuracies[index]) for index in repeated]
        values["weighted_tau"].append(np.array(weighted))
    intervals = {}
    for name, parts in values.items():
        bounds = np.percentile(np.concatenate(parts), (2.5, 97.5))
        if np.isfinite(bounds).all():
            intervals[name] = bounds.tolist()
    return intervals


def _tau_of_resamples(
    scores: np.ndarray, accuracies: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """float64[R] tau-b, from the signs of all pairs: a repeated name ties with itself.

    Single precision holds the counts of pairs to seven digits.
    """
    times = weights.astype(np.float32)  # [R, N]
    first, second = (
        np.sign(values[:, None] - values).astype(np.float32)  # [N, N]
        for values in (scores, accuracies)
    )

    def pairs(of: np.ndarray) -> np.ndarray:
        return ((times @ of) * times).sum(1, dtype=np.float64)

    untied = pairs(np.abs(first)) * pairs(np.abs(second))
    return pairs(first * second) / np.sqrt(np.where(untied > 0, untied, np.nan))


def _spearman_of_resamples(
    scores: np.ndarray, accuracies: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """float64[R] Spearman's rho, from the mid-ranks in each resample."""
    size = weights.sum(1, keepdims=True)
    centred = []
    for values in (scores, accuracies):
        group = np.unique(values, return_inverse=True)[1]
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        counts = np.add.reduceat(weights[:, order], starts, axis=1)  # [R, G]
        ranks = np.cumsum(counts, axis=1) - (counts - 1) / 2
        centred.append(ranks[:, group] - (size + 1) / 2)  # [R, N]
    first, second = centred

    def product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (weights * one * other).sum(1)

    spread = product(first, first) * product(second, second)
    return product(first, second) / np.sqrt(np.where(spread > 0, spread, np.nan))


def regrets(scores: np.ndarray, table: MacroTable) -> list[dict[str, Any]]:
    """What choosing by score costs under each of `BUDGETS`.

    Args:
      scores: float64[S, N].
      table: N names.

    Returns:
      For each budget that holds a network of the table: `budget` in MACs or None; the
      name `found` by each row of scores with its accuracy in `accuracies`; the `best`
      name and its accuracy; `regret` in percent points and `share`, that of the
      networks within the budget that are better, both means over rows.
    """
    rows = []
    for budget in BUDGETS:
        limit = np.inf if budget is None else budget * 1e6
        within = np.flatnonzero(table.macs <= limit)
        if not len(within):
            continue
        macs, accuracies = table.macs[within], table.accuracies[within]
        # Of equal scores the cheapest, then the first.
        found = [np.lexsort((macs, -row[within]))[0] for row in scores]
        best = accuracies.argmax()
        better = [(accuracies > accuracies[index]).mean() for index in found]
        rows.append(
            {
                "budget": None if budget is None else budget * 1_000_000,
                "found": [table.names[within[index]] for index in found],
                "accuracies": accuracies[found].tolist(),
                "best": table.names[within[best]],
                "best_accuracy": float(accuracies[best]),
                "regret": float((accuracies[best] - accuracies[found]).mean()),
                "share": float(np.mean(better)),
            }
        )
    return rows


def baselines(table: MacroTable, seed: int = 0) -> dict[str, np.ndarray]:
    """Scores that need no training, float64[S, N]: size in three units, and chance."""
    numbers, places = np.unique(table.network, return_inverse=True)
    chance = np.random.default_rng(seed).random((CHANCES, len(numbers)))
    sizes = {
        "layer count": (table.architectures != 0).sum(1),
        "MACs": table.macs,
        "params": table.params,
    }
    rows = {name: size.astype(np.float64)[None] for name, size in sizes.items()}
    return {**rows, "random": chance[:, places]}


def agreement(scores: np.ndarray) -> float | None:
    """Mean tau-b between the rows of scores of different seeds; None for one row.

    Args:
      scores: float64[S, N].
    """
    pairs = [
        tau_b(scores[first], scores[second])
        for first in range(len(scores))
        for second in range(first)
    ]
    return float(np.mean(pairs)) if pairs and np.isfinite(pairs).all() else None


def evaluation(scores: np.ndarray, table: MacroTable, seed: int = 0) -> dict[str, Any]:
    """Everything that is said of a score.

    Args:
      scores: float64[S, N], one row for each trained supernet.
      table: N names.
      seed: of the bootstrap.

    Returns:
      The correlations over networks (each once), and below `strings` over names,
      `no_identity` over networks without one, `macs_bands`, `regret`, and `seeds`.
    """
    first = np.unique(table.network, return_index=True)[1]
    networks, values = table[first], scores[:, first]
    deep = (networks.architectures != 0).all(1)
    result: dict[str, Any] = correlations(values, networks, seed=seed)
    result["strings"] = correlations(scores, table, seed=seed)
    result["no_identity"] = correlations(values[:, deep], networks[deep], seed=seed)
    result["macs_bands"] = []
    for low, high in BANDS:
        inside = (networks.macs > low * 1e6) & (networks.macs <= high * 1e6)
        band = correlations(values[:, inside], networks[inside], seed=seed)
        result["macs_bands"].append({"above": low, "up_to": high, **band})
    result["regret"] = regrets(values, networks)
    result["seeds"] = {
        "tau_b": [_known(tau_b(row, networks.accuracies)) for row in values],
        "tau_b_of_mean": _known(tau_b(values.mean(0), networks.accuracies)),
        "agreement": agreement(values),
    }
    return result


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
