"""Architectures with what a search knows about them, in named columns."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from difnas_jax.spaces.costs import MACS

SCORE = "score"


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Architectures and named columns of numbers about them.

    Attributes:
      architectures: int[N, L].
      columns: float64[N] or int64[N] by name: what the scorer measured, `score` among
        it, where higher is better; then the costs, where lower is better.
    """

    architectures: np.ndarray
    columns: dict[str, np.ndarray]

    @property
    def scores(self) -> np.ndarray:
        """float64[N], the column by which candidates are ranked."""
        return self.columns[SCORE]

    def __len__(self) -> int:
        """N."""
        return len(self.architectures)

    def __getitem__(self, index: Any) -> "Candidates":
        """Select candidates with a numpy index of several."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return Candidates(self.architectures[index], columns)

    def row(self, index: int) -> dict[str, float]:
        """The columns of one candidate as Python numbers."""
        return {name: column[index].item() for name, column in self.columns.items()}

    def joined(self, other: "Candidates") -> "Candidates":
        """These, then the others, which have the same columns."""
        if not len(self):
            return other
        first, then = self.columns, other.columns
        columns = {name: np.concatenate((first[name], then[name])) for name in first}
        both = np.concatenate((self.architectures, other.architectures))
        return Candidates(both, columns)

    def best_first(self) -> "Candidates":
        """Those with a finite score, the highest first.

        Ties are broken by fewer MACs, where that column is known, then by the smaller
        architecture in lexicographic order, so that the order never depends on when a
        candidate was found.
        """
        finite = self[np.isfinite(self.scores)]
        macs = [finite.columns[MACS]] if MACS in finite.columns else []
        keys = *finite.architectures.T[::-1], *macs, -finite.scores
        return finite[np.lexsort(keys)]


def far_apart(networks: np.ndarray, count: int, distance: int) -> np.ndarray:
    """The best networks that are different ones, chosen greedily from the best down.

    Ours: the paper speaks of several good subnets and does not say how they differ.

    Args:
      networks: int[N, L], canonical architectures, best first.
      count: how many at most.
      distance: in how many layers any two of them differ at least, 1 or more.

    Returns:
      int64[K] indices in order, K <= count; the first is 0. No other network before the
      last of them is that far from all that come before it.
    """
    chosen, far = [], np.ones(len(networks), bool)
    while far.any() and len(chosen) < count:
        best = int(far.argmax())
        chosen.append(best)
        far &= (networks != networks[best]).sum(1) >= distance
    return np.array(chosen, np.int64)


def non_dominated(scores: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Which candidates no other one beats in score without costing more.

    Args:
      scores: float64[N], higher is better; one that is not finite is never kept.
      costs: int64[N] or float64[N], lower is better.

    Returns:
      bool[N]; of candidates equal in both only the first is kept.
    """
    scores = np.where(np.isfinite(scores), scores, -np.inf)
    return np.isin(np.arange(len(scores)), undominated(scores, costs, best=1))


def undominated(scores: np.ndarray, costs: np.ndarray, best: int) -> np.ndarray:
    """Which may be among the `best` within some bound on their cost.

    One sort by cost, then each front has the scores that exceed all before them.

    Args:
      scores: float64[N], higher is better.
      costs: int64[N], lower is better.
      best: how many within a bound count.

    Returns:
      int64[K] indices of `best` fronts, each without those before; any other has a
      chain of `best` that are at least as good and cost no more.
    """
    left, fronts = np.lexsort((-scores, costs)), []
    for _ in range(best):
        highest = np.maximum.accumulate(np.append(-np.inf, scores[left]))
        rising = highest[1:] > highest[:-1]
        fronts.append(left[rising])
        left = left[~rising]
    return np.concatenate(fronts)


def compare(
    found: Mapping[str, Candidates],
    evaluated: Mapping[str, int],
    seconds: Mapping[str, float],
) -> list[dict[str, Any]]:
    """One row for each algorithm.

    Args:
      found: by name of the algorithm, the candidates with a finite score, best first.
      evaluated: how many candidates each evaluated.
      seconds: wall time of each.

    Returns:
      Rows with `algorithm`, the columns of the best network (`score`, `macs`, ...),
      `evaluated` candidates, wall `seconds`, `regret` (score of the optimum minus this
      one) and `share` (how much of the way from the mean of random search to the
      optimum this is, 1 at the optimum). Regret needs `exact` and share also `random`,
      otherwise they are None.
    """
    optimum = found["exact"].scores[0] if "exact" in found else None
    mean = found["random"].scores.mean() if "random" in found else None
    rows = []
    for name, candidates in found.items():
        score = candidates.scores[0]
        row = {"algorithm": name, **candidates.row(0), "evaluated": evaluated[name]}
        row |= {"seconds": round(seconds[name], 3), "regret": None, "share": None}
        if optimum is not None:
            row["regret"] = float(optimum - score)
        if optimum is not None and mean is not None and optimum > mean:
            row["share"] = float((score - mean) / (optimum - mean))
        rows.append(row)
    return rows
