"""How well a score ranks the networks of a benchmark table."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from difnas_jax.ranking.correlation import correlations, kendall_tau_b
from difnas_jax.ranking.path_counts import structure
from difnas_jax.ranking.selection import choice
from difnas_jax.ranking.tables import CIFAR10, BenchmarkTable

# By benchmark, in millions of MACs at 32 pixels. Within the bands between them size
# says little. Those of NAS-Bench-201 hold 19, 56 and 85 % of the networks of our half.
BUDGETS = {"nas_bench_macro": (40, 60, 80), "nas_bench_201": (40, 60, 100)}
MOST = 1000  # more than any network has
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
      The correlations with the accuracies on CIFAR-10 over networks, each counted
      once; the same in `strings` over names, in `no_identity` over networks all of
      whose layers have weights, and in `macs_bands`; `regret`; in `data_sets`
      correlations and regret on each further one; and in `seeds` tau-b of each row, of
      the mean of all rows, and between rows.
    """
    first = table.first_of_network
    networks, values = table[first], scores[:, first]
    deep = layer_count(networks) == table.space.num_layers
    result = _correlations(values, networks, seed)
    result["strings"] = _correlations(scores, table, seed)
    result["no_identity"] = _correlations(values[:, deep], networks[deep], seed)
    result["macs_bands"] = []
    macs = networks.costs["macs"]
    for low, high in itertools.pairwise((0, *BUDGETS[table.space.name], MOST)):
        inside = (macs > low * 1e6) & (macs <= high * 1e6)
        band = _correlations(values[:, inside], networks[inside], seed)
        result["macs_bands"].append({"above": low, "up_to": high, **band})
    result["regret"] = regrets(values, networks)
    result["data_sets"] = {
        name: {
            **_correlations(values, networks, seed, name),
            "regret": regrets(values, networks, name),
        }
        for name in table.by_data_set
        if name != CIFAR10
    }
    result["seeds"] = {
        "tau_b": [known(kendall_tau_b(row, networks.accuracies)) for row in values],
        "tau_b_of_mean": known(kendall_tau_b(values.mean(0), networks.accuracies)),
        "agreement": agreement(values),
    }
    return result


def _correlations(
    scores: np.ndarray, table: BenchmarkTable, seed: int, data_set: str = CIFAR10
) -> dict[str, Any]:
    accuracies = table.by_data_set[data_set]
    return correlations(scores, accuracies, table.network, seed=seed)


def layer_count(table: BenchmarkTable) -> np.ndarray:
    """int64[N]: layers with weights; of a cell its edges on a path to the output."""
    return structure(table.space, table.architectures)["live_convs"]


def regrets(
    scores: np.ndarray, table: BenchmarkTable, data_set: str = CIFAR10
) -> list[dict[str, Any]]:
    """What choosing by score costs under each of `BUDGETS`, and without one.

    Args:
      scores: float64[S, N].
      table: N networks.
      data_set: of the accuracies.

    Returns:
      For each budget that holds a network of the table: `budget` in MACs or None; the
      name `found` by each row of scores with its accuracy in `accuracies`; the `best`
      name and its accuracy; `regret` in percentage points and `share`, that of the
      networks within the budget that are better, both means over rows.
    """
    rows, accuracies = [], table.by_data_set[data_set]
    for millions in (*BUDGETS[table.space.name], None):
        budget = None if millions is None else millions * 1_000_000
        limit = np.inf if budget is None else budget
        chosen = [
            choice(row, accuracies, table.costs["macs"], max_cost=limit)
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
                "accuracies": [float(accuracies[one.chosen]) for one in found],
                "best": str(table.names[best]),
                "best_accuracy": float(accuracies[best]),
                "regret": float(np.mean([one.regret for one in found])),
                "share": float(np.mean([one.better for one in found])),
            }
        )
    return rows


def baselines(table: BenchmarkTable, seed: int = 0) -> dict[str, np.ndarray]:
    """Scores that need no training, float64[S, N]: sizes, and random numbers.

    Where layers reduce, they are also counted double: there an identity is a strided
    convolution, and worth less than a block.
    """
    numbers, members = np.unique(table.network, return_inverse=True)
    chance = np.random.default_rng(seed).random((RANDOM_RANKINGS, len(numbers)))
    space, layers = table.space, layer_count(table)
    sizes = {
        "layer count": layers,
        "MACs": table.costs["macs"],
        "params": table.costs["params"],
    }
    if not space.skippable.all():
        blocks = table.architectures[:, ~space.skippable] != space.identity
        sizes["layer count, reductions double"] = layers + blocks.sum(1)
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
