"""How well a score ranks the networks of a benchmark table, in the numbers of a row."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from difnas_jax.ranking.correlation import kendall_tau_b, spearman_rho
from difnas_jax.ranking.selection import choice
from difnas_jax.ranking.tables import BenchmarkTable

FOLDS = 40  # of the jackknife
FEWEST_OF_ONE_SIZE = 30  # networks of equal parameter count that are ranked
BEST_SHARE = 0.1
NORMAL_95 = 1.96  # standard deviations on each side of a 95 % interval

Statistic = Callable[[np.ndarray, np.ndarray], float]
Numbers = dict[str, Any]


def evaluation(
    scores: np.ndarray, table: BenchmarkTable, data_set: str, *, seed: int = 0
) -> Numbers:
    """What a score, larger for better networks, knows of the accuracies on a data set.

    Every number is the mean over the repeats of the score. One that is not defined,
    as the correlation of a constant score, is None.

    Args:
      scores: float64[S, N], one row for each repeat; a value that is not finite ranks
        worst.
      table: N architectures.
      data_set: a key of `table.by_data_set`.
      seed: of the folds of the jackknife.

    Returns:
      `n`; `non_finite`, values of the first repeat that are not finite; `tau_b` and
      `spearman`, each with `<name>_low` and `<name>_high`, their 95 % interval over
      networks, and `tau_b_spread`, the standard deviation over repeats (None for one);
      `same_params`, tau-b at equal parameter count; `best_tenth`, tau-b among the most
      accurate tenth; `distinct`, tau-b over networks that all differ;
      `chosen_accuracy`, that of the network of the highest score, and `regret`, how
      much it lacks of the best one, both in percentage points.
    """
    rows, accuracies = ranked_worst(scores), table.by_data_set[data_set]
    folds, params = _folds(table.network, seed), table.costs["params"]
    numbers: Numbers = {"n": len(table)}
    numbers["non_finite"] = int((~np.isfinite(scores[0])).sum())
    for name, statistic in (("tau_b", kendall_tau_b), ("spearman", spearman_rho)):
        mean = _mean(statistic, rows, accuracies)
        half = NORMAL_95 * _jackknife_error(statistic, rows, accuracies, folds)
        numbers |= {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
    taus = [kendall_tau_b(row, accuracies) for row in rows]
    numbers["tau_b_spread"] = float(np.std(taus, ddof=1)) if len(taus) > 1 else None
    numbers["same_params"] = _mean(tau_within(params), rows, accuracies)
    best = accuracies >= np.quantile(accuracies, 1 - BEST_SHARE)
    for name, part in (("best_tenth", best), ("distinct", table.first_of_network)):
        numbers[name] = _mean(kendall_tau_b, rows[:, part], accuracies[part])
    chosen = [_accuracy_of_chosen(row, accuracies, params) for row in rows]
    numbers["chosen_accuracy"] = float(np.mean(chosen))
    numbers["regret"] = float(accuracies.max() - np.mean(chosen))
    return {name: _known(value) for name, value in numbers.items()}


def ranked_worst(scores: np.ndarray) -> np.ndarray:
    """The scores with -inf, and so a tie on the worst rank, for all not finite ones."""
    return np.where(np.isfinite(scores), scores, -np.inf)


def tau_within(groups: np.ndarray) -> Statistic:
    """Mean tau-b inside of groups, weighted by their sizes, as a statistic.

    With groups of equal parameter count it is what a score knows beyond size. A score
    that is constant in a group knows nothing there, which counts 0. The statistic is
    NaN where all groups are too small.

    Args:
      groups: [N]; those of fewer than `FEWEST_OF_ONE_SIZE` are left out.
    """
    values, sizes = np.unique(groups, return_counts=True)
    large = sizes >= FEWEST_OF_ONE_SIZE
    members = [groups == value for value in values[large]]

    def statistic(scores: np.ndarray, accuracies: np.ndarray) -> float:
        if not members:
            return math.nan
        taus = [kendall_tau_b(scores[one], accuracies[one]) for one in members]
        return float(np.average(np.nan_to_num(taus), weights=sizes[large]))

    return statistic


def _mean(statistic: Statistic, rows: np.ndarray, accuracies: np.ndarray) -> float:
    """Mean over the rows float64[S, N]."""
    return float(np.mean([statistic(row, accuracies) for row in rows]))


def _accuracy_of_chosen(
    scores: np.ndarray, accuracies: np.ndarray, costs: np.ndarray
) -> float:
    found = choice(scores, accuracies, costs)
    assert found is not None  # there is no budget
    return float(accuracies[found.chosen])


def _folds(network: np.ndarray, seed: int) -> np.ndarray:
    """int[N]: a random fold for each network; names of one network share theirs."""
    numbers, members = np.unique(network, return_inverse=True)
    folds = np.arange(len(numbers)) % min(FOLDS, len(numbers))
    return np.random.default_rng(seed).permutation(folds)[members]


def _jackknife_error(
    statistic: Statistic, rows: np.ndarray, accuracies: np.ndarray, folds: np.ndarray
) -> float:
    """Standard error of the mean over rows, by leaving out each fold in turn.

    Source: Tukey, "Bias and confidence in not-quite large samples", Annals of
    Mathematical Statistics 1958. The bootstrap of `correlations` costs ten times as
    much, which is felt with many columns of 15,625 scores.
    """
    parts = [folds != fold for fold in range(folds.max() + 1)]
    values = [_mean(statistic, rows[:, part], accuracies[part]) for part in parts]
    return float(np.sqrt((len(parts) - 1) * np.var(values)))


def _known(value: float | None) -> float | None:
    """The same, or None where it is not defined."""
    return None if value is None or not math.isfinite(value) else value
