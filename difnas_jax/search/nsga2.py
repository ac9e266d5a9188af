"""NSGA-II (Deb et al. 2002): the trade-off between several columns."""

from collections.abc import Container, Iterable, Iterator, Sequence

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.search.candidates import Candidates
from difnas_jax.search.population import TRIES, PopulationSearch


class NSGA2(PopulationSearch):
    """Finds the whole trade-off, for example of high scores, few MACs, few parameters.

    The objectives are columns of the candidates (`search.objectives`). Costs of the
    problem are minimised; the columns that the scorer gives are maximised, except where
    they declare that lower is better.

    Differs from Deb et al.: survivors are chosen among all evaluated candidates, not
    among the last population and its children, so that no found network is lost.
    """

    def children(self) -> Iterator[tuple[np.ndarray, int]]:
        """Children of binary tournaments, by uniform crossover and mutation."""
        settings = self._settings
        survivors, rank, crowding = self.survivors()
        if not len(survivors):
            return
        count = TRIES * settings.population
        first, second = self._rng.integers(len(survivors), size=(2, count))
        worse, equal = rank[first] > rank[second], rank[first] == rank[second]
        loses = worse | (equal & (crowding[first] < crowding[second]))
        winners = survivors.architectures[np.where(loses, second, first)]
        crossed = self._variation.cross(winners, count)
        mutants = self._variation.mutate(crossed, count, settings.mutation_probability)
        yield mutants, settings.population

    def survivors(self) -> tuple[Candidates, np.ndarray, np.ndarray]:
        """The `population` best, with int64[N] rank and float64[N] crowding distance.

        The lower rank comes first, then the larger crowding distance.
        """
        known = self.evaluated.best_first()
        if not len(known):
            return known, np.zeros(0, np.int64), np.zeros(0)
        minimised = self._problem.minimised
        values = objective_values(known, self._settings.objectives, minimised)
        rank = ranks(values)
        crowding = np.zeros(len(known))
        for front in range(rank.max() + 1):
            crowding[rank == front] = crowding_distances(values[rank == front])
        order = np.lexsort((-crowding, rank))[: self._settings.population]
        return known[order], rank[order], crowding[order]


def check_objectives(objectives: Sequence[str], columns: Iterable[str]) -> None:
    """Refuse objectives that are not columns of the candidates.

    Raises:
      InputError: no objective, or an unknown one.
    """
    columns = list(columns)
    if not objectives or not set(objectives) <= set(columns):
        raise InputError(
            f"search.objectives: expected some of {', '.join(columns)}; got "
            + repr(",".join(objectives))
        )


def objective_values(
    candidates: Candidates, objectives: Sequence[str], minimised: Container[str]
) -> np.ndarray:
    """The columns to be minimised.

    Args:
      candidates: N of them.
      objectives: names of M columns.
      minimised: the columns where lower is better; it is higher in all others.

    Returns:
      float64[N, M], lower is better; what is not finite is at least as bad as the
      worst.

    Raises:
      InputError: an unknown column.
    """
    check_objectives(objectives, candidates.columns)
    columns = candidates.columns
    signs = {name: 1 if name in minimised else -1 for name in objectives}
    oriented = [sign * columns[name] for name, sign in signs.items()]
    values = np.stack(oriented, axis=1).astype(np.float64)
    finite = np.isfinite(values)
    worst = values.max(axis=0, where=finite, initial=0.0)
    return np.where(finite, values, worst)


def ranks(values: np.ndarray) -> np.ndarray:
    """The fast non-dominated sort.

    Args:
      values: float64[N, M], lower is better.

    Returns:
      int64[N]: 0 where no other row is at least as good in every objective and better
      in one; 1 where only rows of rank 0 are; and so on.
    """
    no_worse = np.all(values[:, None] <= values, axis=2)
    dominates = np.asarray(no_worse & ~no_worse.T)
    dominators = dominates.sum(0)
    rank = np.full(len(values), -1)
    front = 0
    while (rank < 0).any():
        free = (dominators == 0) & (rank < 0)
        rank[free] = front
        dominators -= dominates[free].sum(0)
        front += 1
    return rank


def crowding_distances(values: np.ndarray) -> np.ndarray:
    """How far the neighbours of each member of a front are.

    Args:
      values: float64[N, M] of one front.

    Returns:
      float64[N]: the sum over objectives of the distance between the two neighbours, as
      a share of the range; infinite at both ends of any objective.
    """
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        span = float(np.ptp(column)) or 1.0
        ends = np.concatenate(([-np.inf], column[order], [np.inf]))
        distance[order] += (ends[2:] - ends[:-2]) / span
    return distance
