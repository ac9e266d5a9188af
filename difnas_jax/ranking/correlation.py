"""Rank correlations of scores with accuracies, and their bootstrap intervals."""

from typing import Any

import numpy as np

RESAMPLES = 1000
WEIGHTED_RESAMPLES = 200  # of the weighted tau
FEWEST = 10  # networks for which an interval is given
PERCENTILES = (2.5, 97.5)
# Networks that are compared with all others at once: 1000 x 15,625 signs are 62 MB.
BLOCK = 1000


def kendall_tau_b(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Kendall's tau-b, which allows for ties on both sides.

    Source: Kendall, "The treatment of ties in ranking problems", Biometrika 1945;
    discordant pairs are counted by merge sort (Knight, JASA 1966).

    Args:
      scores: float[N].
      accuracies: float[N].

    Returns:
      A number from -1 to 1. NaN where it is not defined: fewer than two networks, all
      scores or all accuracies equal, or a NaN among them.
    """
    if not _is_ranking(scores, accuracies):
        return float("nan")
    first, second = _levels(scores), _levels(accuracies)
    discordant = _inversions(second[np.lexsort((second, first))])
    both = first * (second.max() + 1) + second
    tied_first, tied_second, tied_both = map(_tied_pairs, (first, second, both))
    pairs = len(first) * (len(first) - 1) // 2
    difference = pairs - tied_first - tied_second + tied_both - 2 * discordant
    tau = difference / np.sqrt(pairs - tied_first) / np.sqrt(pairs - tied_second)
    return float(np.clip(tau, -1.0, 1.0))


def spearman_rho(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Spearman's rho: Pearson's correlation of the ranks, ties at their mean rank.

    Source: Spearman, "The proof and measurement of association between two things",
    American Journal of Psychology 1904.

    Args:
      scores: float[N].
      accuracies: float[N].

    Returns:
      A number from -1 to 1; NaN as in `kendall_tau_b`.
    """
    if not _is_ranking(scores, accuracies):
        return float("nan")
    return float(np.corrcoef(mean_ranks(scores), mean_ranks(accuracies))[0, 1])


def weighted_tau(scores: np.ndarray, accuracies: np.ndarray) -> float:
    """Vigna's weighted tau, for which agreement about the best networks counts most.

    A pair weighs 1 / r + 1 / s where r and s are the ranks of its two networks, 1 for
    the best; the value is the mean of those by the ranks of scores and of accuracies.

    Source: Vigna, "A weighted correlation index for rankings with ties", WWW 2015.

    Args:
      scores: float[N].
      accuracies: float[N].

    Returns:
      A number from -1 to 1; NaN as in `kendall_tau_b`.
    """
    if not _is_ranking(scores, accuracies):
        return float("nan")
    once = np.ones((1, len(scores)), int)
    sums = pair_sums(scores, accuracies, once)
    return float(resampled_weighted_tau(scores, accuracies, once, sums)[0])


# Name -> (scores float[N], accuracies float[N]) -> correlation.
CORRELATIONS = {
    "tau_b": kendall_tau_b,
    "spearman": spearman_rho,
    "weighted_tau": weighted_tau,
}


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
    for name, statistic in CORRELATIONS.items():
        values = [statistic(row, accuracies) for row in scores]
        known = len(accuracies) > 1 and np.isfinite(values).all()
        result[name] = float(np.mean(values)) if known else None
        result[f"{name}_interval"] = intervals.get(name) if known else None
    return result


def _intervals(
    scores: np.ndarray, accuracies: np.ndarray, times: np.ndarray
) -> dict[str, list[float]]:
    """95 % intervals by name of the correlation, where they are finite.

    The arguments are those of `correlations` and `pair_sums`.
    """
    few = WEIGHTED_RESAMPLES // len(scores)
    resampled: dict[str, list[np.ndarray]] = {name: [] for name in CORRELATIONS}
    for number, row in enumerate(scores):
        part = times[number :: len(scores)]
        sums = pair_sums(row, accuracies, part)
        weighted = resampled_weighted_tau(row, accuracies, part[:few], sums[:, :few])
        resampled["tau_b"].append(resampled_tau_b(part, sums))
        resampled["spearman"].append(resampled_spearman(part, sums))
        resampled["weighted_tau"].append(weighted)
    bounds = {
        name: np.percentile(np.concatenate(values), PERCENTILES)
        for name, values in resampled.items()
    }
    return {n: both.tolist() for n, both in bounds.items() if np.isfinite(both).all()}


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """float64[N]: ranks from 1 for the smallest of float[N]; ties share their mean."""
    levels = _levels(values)
    counts = np.bincount(levels)
    return (np.cumsum(counts) - (counts - 1) / 2)[levels]


def pair_sums(
    scores: np.ndarray, accuracies: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """Sums over the pairs that each network forms with the others of a resample.

    Args:
      scores: float[N].
      accuracies: float[N].
      times: int[R, N], how often each network is in each resample; it ties with its
        own copies.

    Returns:
      float32[5, R, N], which is exact, as all are integers below 2^24: pairs on whose
      order both sides agree less those on which they differ; pairs with different
      scores; with different accuracies; networks of lower score less those of higher
      score, twice the centred mean rank; the same of the accuracies.
    """
    times = times.astype(np.float32)
    levels = _levels(scores), _levels(accuracies)
    sums = np.empty((5, *times.shape), np.float32)
    for start in range(0, len(scores), BLOCK):
        block = slice(start, start + BLOCK)
        first, second = (
            np.sign(level[block] - level[:, None]).astype(np.float32)  # [N, block]
            for level in levels
        )
        signs = first * second, abs(first), abs(second), first, second
        sums[:, :, block] = [times @ sign for sign in signs]
    return sums


def resampled_tau_b(times: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """float64[R] tau-b of resamples; NaN where one side of a resample is constant."""
    return _normalised(times, *sums[:3])


def resampled_spearman(times: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """float64[R] Spearman's rho of resamples, NaN as in `resampled_tau_b`."""
    first, second = sums[3:].astype(np.float64)
    return _normalised(times, first * second, first**2, second**2)


def resampled_weighted_tau(
    scores: np.ndarray, accuracies: np.ndarray, times: np.ndarray, sums: np.ndarray
) -> np.ndarray:
    """float64[R] weighted tau of resamples, NaN as in `resampled_tau_b`."""
    taus = []
    for keys in ((accuracies, scores), (scores, accuracies)):
        order = np.lexsort(keys)[::-1]  # from the best
        last_rank = np.cumsum(times[:, order], axis=1)
        up_to_rank = np.append(0.0, np.cumsum(1 / np.arange(1, last_rank.max() + 1)))
        weight = np.empty(times.shape)
        weight[:, order] = np.diff(up_to_rank[last_rank], prepend=0.0, axis=1)
        taus.append(resampled_tau_b(weight, sums))
    return np.mean(taus, axis=0)


def _normalised(times: np.ndarray, *terms: np.ndarray) -> np.ndarray:
    """float64[R]: the first of three sums over the geometric mean of the others."""
    product, first, second = ((times * term).sum(1) for term in terms)
    squares = first * second
    return product / np.sqrt(np.where(squares > 0, squares, np.nan))


def _is_ranking(scores: np.ndarray, accuracies: np.ndarray) -> bool:
    """Whether both sides have two different values, and no NaN."""
    sides = scores, accuracies
    return all(len(np.unique(s)) > 1 and not np.isnan(s).any() for s in sides)


def _levels(values: np.ndarray) -> np.ndarray:
    """int64[N]: number of each value in the sorted list of different values, from 0."""
    return np.unique(values, return_inverse=True)[1]


def _tied_pairs(levels: np.ndarray) -> int:
    counts = np.unique(levels, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _inversions(levels: np.ndarray) -> int:
    """Pairs i < j with levels[i] > levels[j], of int[N], by a merge sort from below."""
    index, span, width, found = np.arange(len(levels)), levels.max() + 1, 1, 0
    while width < len(levels):
        block, is_left = index // (2 * width), index // width % 2 == 0
        keys = block * span + levels  # so that one sorted list serves all blocks
        not_above = np.searchsorted(np.sort(keys[is_left]), keys[~is_left], "right")
        # The left half of a block that has a right half is full.
        found += int(((block[~is_left] + 1) * width - not_above).sum())
        width *= 2
    return found
