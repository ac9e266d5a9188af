"""How well a score ranks the networks of NAS-Bench-Macro."""

from __future__ import annotations

from typing import Any

import numpy as np

from difnas_jax.ranking.correlation import correlations, kendall_tau_b
from difnas_jax.ranking.selection import choice
from difnas_jax.ranking.tables import BenchmarkTable

# Bands of MACs (in millions, at 32 pixels) within which size says little.
BANDS = ((0, 40), (40, 60), (60, 80), (80, 1000))
BUDGETS: tuple[int | None, ...] = (40, 60, 80, None)  # in millions of MACs
RANDOM_RANKINGS = 20  # whose results are averaged


def evaluation(
    scores: np.ndarray, table: BenchmarkTable, seed: int = 0
) -> dict[str, Any]:
    """All results of one score.

    Args:
      scores: float64[S, N], one row for each trained supernet.
      table: N names.
      seed: of the bootstrap.

    Returns:
      The correlations over networks, each counted once; the same in `strings` over
      names, in `no_identity` over networks without identity, and in `macs_bands`;
      `regret`; and in `seeds` tau-b of each row, of the mean of all rows, and between
      rows.
    """
    first = table.first_of_network
    networks, values = table[first], scores[:, first]
    deep = (networks.architectures != 0).all(1)
    result = _correlations(values, networks, seed)
    result["strings"] = _correlations(scores, table, seed)
    result["no_identity"] = _correlations(values[:, deep], networks[deep], seed)
    result["macs_bands"] = []
    macs = networks.costs["macs"]
    for low, high in BANDS:
        inside = (macs > low * 1e6) & (macs <= high * 1e6)
        band = _correlations(values[:, inside], networks[inside], seed)
        result["macs_bands"].append({"above": low, "up_to": high, **band})
    result["regret"] = regrets(values, networks)
    result["seeds"] = {
        "tau_b": [known(kendall_tau_b(row, networks.accuracies)) for row in values],
        "tau_b_of_mean": known(kendall_tau_b(values.mean(0), networks.accuracies)),
        "agreement": agreement(values),
    }
    return result


def _correlations(
    scores: np.ndarray, table: BenchmarkTable, seed: int
) -> dict[str, Any]:
    return correlations(scores, table.accuracies, table.network, seed=seed)


def regrets(scores: np.ndarray, table: BenchmarkTable) -> list[dict[str, Any]]:
    """What choosing by score costs under each of `BUDGETS`.

    Args:
      scores: float64[S, N].
      table: N networks.

    Returns:
      For each budget that holds a network of the table: `budget` in MACs or None; the
      name `found` by each row of scores with its accuracy in `accuracies`; the `best`
      name and its accuracy; `regret` in percentage points and `share`, that of the
      networks within the budget that are better, both means over rows.
    """
    rows = []
    for millions in BUDGETS:
        budget = None if millions is None else millions * 1_000_000
        limit = np.inf if budget is None else budget
        chosen = [
            choice(row, table.accuracies, table.costs["macs"], max_cost=limit)
            for row in scores
        ]
        found = [one for one in chosen if one is not None]
        if not found:
            continue
        best = found[0].best
        rows.append(
            {
                "budget": budget,
                "found": [str(table.names[one.chosen]) for one in found],
                "accuracies": [float(table.accuracies[one.chosen]) for one in found],
                "best": str(table.names[best]),
                "best_accuracy": float(table.accuracies[best]),
                "regret": float(np.mean([one.regret for one in found])),
                "share": float(np.mean([one.better for one in found])),
            }
        )
    return rows


def baselines(table: BenchmarkTable, seed: int = 0) -> dict[str, np.ndarray]:
    """Scores that need no training, float64[S, N]: three sizes, and random numbers."""
    numbers, members = np.unique(table.network, return_inverse=True)
    chance = np.random.default_rng(seed).random((RANDOM_RANKINGS, len(numbers)))
    sizes = {
        "layer count": (table.architectures != 0).sum(1),
        "MACs": table.costs["macs"],
        "params": table.costs["params"],
    }
    rows = {name: size.astype(np.float64)[None] for name, size in sizes.items()}
    return {**rows, "random": chance[:, members]}


def agreement(scores: np.ndarray) -> float | None:
    """Mean tau-b between the rows of scores of different seeds; None for one row.

    Args:
      scores: float64[S, N].
    """
    pairs = [
        kendall_tau_b(scores[first], scores[second])
        for first in range(len(scores))
        for second in range(first)
    ]
    return float(np.mean(pairs)) if pairs and np.isfinite(pairs).all() else None


def known(value: float) -> float | None:
    """The same, or None where it is not defined."""
    return value if np.isfinite(value) else None
