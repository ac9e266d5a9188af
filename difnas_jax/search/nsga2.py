"""NSGA-II (Deb et al. 2002): score against MACs against parameters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from difnas_jax.search.candidates import Candidates
from difnas_jax.search.explorer import TRIES, Explorer


class NSGA2(Explorer):
    """Keeps the whole trade-off: high scores, few MACs, few parameters.

    Differs from Deb et al.: survivors are chosen among everything evaluated, not among
    the last population and its children, so nothing that was found is lost.
    """

    def children(self) -> Iterator[tuple[np.ndarray, int]]:
        """Children of binary tournaments, by uniform crossover and mutation."""
        settings, genomes = self._settings, self._genomes
        survivors, rank, crowding = self.survivors()
        if not len(survivors):
            return
        count = TRIES * settings.population
        pairs = genomes.rng.integers(len(survivors), size=(2, count))
        first, second = pairs
        loses = (rank[first] > rank[second]) | (
            (rank[first] == rank[second]) & (crowding[first] < crowding[second])
        )
        winners = survivors.architectures[np.where(loses, second, first)]
        crossed = genomes.cross(winners, count)
        mutants = genomes.mutate(crossed, count, settings.mutation_probability)
        yield mutants, settings.population

    def survivors(self) -> tuple[Candidates, np.ndarray, np.ndarray]:
        """The `population` best, with int64[N] rank and float64[N] crowding distance.

        The lower rank comes first, then the larger crowding distance.
        """
        known = self.evaluated.best_first()
        goals = objectives(known)
        rank = ranks(goals)
        crowding = np.zeros(len(known))
        for front in range(rank.max(initial=-1) + 1):
            crowding[rank == front] = crowding_distances(goals[rank == front])
        order = np.lexsort((-crowding, rank))[: self._settings.population]
        return known[order], rank[order], crowding[order]


def objectives(candidates: Candidates) -> np.ndarray:
    """float64[N, 3]: minus score, MACs, parameters; lower is better."""
    columns = -candidates.scores, candidates.macs, candidates.params
    return np.stack(columns, axis=1).astype(np.float64)


def ranks(goals: np.ndarray) -> np.ndarray:
    """The fast non-dominated sort.

    Args:
      goals: float64[N, M], lower is better.

    Returns:
      int64[N]: 0 where none is at least as good in every goal and better in one; 1
      where only those of rank 0 are; and so on.
    """
    no_worse = np.all(goals[:, None] <= goals, axis=2)
    dominates = np.asarray(no_worse & ~no_worse.T)
    dominators = dominates.sum(0)
    rank = np.full(len(goals), -1)
    front = 0
    while (rank < 0).any():
        free = (dominators == 0) & (rank < 0)
        rank[free] = front
        dominators -= dominates[free].sum(0)
        front += 1
    return rank


def crowding_distances(goals: np.ndarray) -> np.ndarray:
    """How much room there is around each member of a front.

    Args:
      goals: float64[N, M] of one front.

    Returns:
      float64[N]: the sum over goals of the distance between the two neighbours, as a
      share of the range; infinite at both ends of any goal.
    """
    distance = np.zeros(len(goals))
    for values in goals.T:
        order = np.argsort(values, kind="stable")
        span = float(np.ptp(values)) or 1.0
        ends = np.concatenate(([-np.inf], values[order], [np.inf]))
        distance[order] += (ends[2:] - ends[:-2]) / span
    return distance
