"""What evolution, random search and NSGA-II share: populations of new candidates.

A proposal is legal if its network is connected, within the budget and was not evaluated
before. No loop here is unbounded: operators propose a fixed number of children at
once, and those outside the budget are repaired in a bounded number of steps.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator

import numpy as np

from difnas_jax.search.base import Algorithm
from difnas_jax.search.problem import Problem
from difnas_jax.search.repair import repair
from difnas_jax.search.settings import Settings
from difnas_jax.search.variation import Variation

TRIES = 20  # proposals per wanted child
FILL_ROUNDS = 10


class PopulationSearch(Algorithm):
    """One population a generation, until the generations are over.

    A subclass says in `children` what it proposes; the rest of a population is
    drawn at random. Architectures that are the same network (see
    `SearchSpace.canonical`) are evaluated once: with an additive score along their best
    path, else along the one that is proposed first.

    Differs from SPOS and BN-NAS: where too few proposals of an operator fit the budget,
    the others are moved into it. Without that a narrow budget starves mutation and
    crossover, and random draws may never end.
    """

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        """Start with no candidates; see `Algorithm`."""
        super().__init__(problem, settings, seed)
        self._variation = Variation(problem.space, self._rng)

    @abc.abstractmethod
    def children(self) -> Iterator[tuple[np.ndarray, int]]:
        """Proposals int64[N, L] of each operator, and how many of them are wanted."""

    def ask(self) -> np.ndarray:
        """Propose the next population.

        Returns:
          int64[N, L]; N is smaller than the population when too few legal
          candidates are found, and 0 when there is none or the generations are over.

        Raises:
          InputError: no candidate within the budget was found.
        """
        population = self.evaluated.architectures[:0]
        if self._generation >= self._settings.generations:
            return population
        for proposals, wanted in self.children():
            population = self._admit(population, proposals, wanted)
        population = self._fill(population)
        if not len(population) and not len(self.evaluated):
            raise self._problem.infeasible()
        return population

    def _fill(self, population: np.ndarray) -> np.ndarray:
        """Fill the population up with random candidates."""
        for _ in range(FILL_ROUNDS):
            missing = self._settings.population - len(population)
            if not missing:
                break
            drawn = self._variation.draw(TRIES * self._settings.population)
            population = self._admit(population, drawn, missing)
        return population

    def _admit(
        self, population: np.ndarray, proposals: np.ndarray, quota: int
    ) -> np.ndarray:
        """Append `quota` proposals: those that are legal first, then repaired ones."""
        wanted = len(population) + quota
        population = self._append_legal(population, proposals, wanted)
        if len(population) < wanted:
            repaired = repair(proposals, self._problem, self._rng)
            population = self._append_legal(population, repaired, wanted)
        return population

    def _append_legal(
        self, population: np.ndarray, proposals: np.ndarray, wanted: int
    ) -> np.ndarray:
        """Append proposals that are new and within the budget, up to `wanted` rows."""
        known = np.concatenate((self.evaluated.architectures, population))
        rows = np.concatenate((known, self._problem.legal(proposals)))
        first = self._problem.distinct(rows)
        new = rows[first[first >= len(known)]]
        return np.concatenate((population, new))[:wanted]


class RandomSearch(PopulationSearch):
    """New random architectures within the budget: the baseline of all algorithms."""

    def children(self) -> Iterator[tuple[np.ndarray, int]]:
        """No proposals, so that whole populations are drawn at random."""
        yield from ()
