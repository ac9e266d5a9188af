"""Searches that visit one network after another, and regularized evolution."""

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from difnas_jax.search.base import Settings
from difnas_jax.search.candidates import Candidates
from difnas_jax.search.population import FILL_ROUNDS, TRIES, PopulationSearch, repair
from difnas_jax.search.problem import Problem


class SequentialSearch(PopulationSearch):
    """Visits one network after another, perhaps after a random first population.

    A network that was evaluated before is visited again with the columns that it has,
    as a score is a function of the network; it counts as a step all the same.

    Attributes:
      visited: indices into `evaluated` in the order of the visits.
      first: how many of the visits were the first population.
    """

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        """Start with no candidates; see `Algorithm`."""
        super().__init__(problem, settings, seed)
        self.visited: list[int] = []
        self.first = 0

    @property
    def length(self) -> int:
        """How many visits there are, the first population included."""
        return self.first + self._settings.steps

    @abc.abstractmethod
    def propose(self) -> np.ndarray:
        """int64[L]: the network to be visited next, within the budget."""

    def learn(self) -> None:
        """Change what the next proposals depend on; the last visit is new."""

    def children(self) -> Iterator[tuple[np.ndarray, int]]:
        """No proposals, so that a first population is random."""
        yield from ()

    def ask(self) -> np.ndarray:
        """The next network that has no score yet.

        Returns:
          int64[1, L]; int64[0, L] when all steps are done.

        Raises:
          InputError: no candidate within the budget was found.
        """
        while len(self.visited) < self.length:
            proposed = self.propose()
            rows = np.vstack((self.evaluated.architectures, proposed))
            networks = self._problem.space.canonical(rows)
            known = np.flatnonzero((networks[:-1] == networks[-1]).all(1))
            if not len(known):
                return proposed[None]
            self._visit(known[:1])
        return self.evaluated.architectures[:0]

    def tell(
        self, architectures: np.ndarray, columns: Mapping[str, np.ndarray]
    ) -> None:
        """Record a population, and visit it; see `Algorithm.tell`."""
        known = len(self.evaluated)
        super().tell(architectures, columns)
        self._visit(range(known, len(self.evaluated)))

    def _visit(self, indices: Sequence[int] | np.ndarray) -> None:
        self.visited += map(int, indices)
        self.learn()

    def first_legal(self, proposals: np.ndarray) -> np.ndarray:
        """The first proposal within the budget.

        Where there is none it is a repaired proposal, then the network of the last
        visit, then a random one.

        Args:
          proposals: int64[N, L].

        Returns:
          int64[L].

        Raises:
          InputError: no network within the budget was found.
        """
        for _ in range(FILL_ROUNDS):
            legal = self._problem.legal(proposals)
            if not len(legal):
                repaired = repair(proposals, self._problem, self._rng)
                legal = self._problem.legal(repaired)
            if len(legal):
                return legal[0]
            if self.visited:
                return self.evaluated.architectures[self.visited[-1]]
            proposals = self._variation.draw(TRIES * self._settings.population)
        raise self._problem.infeasible()

    def state(self) -> dict[str, Any]:
        """All that the rest of the search depends on; see `Algorithm.state`."""
        return {**super().state(), "visited": self.visited, "first": self.first}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned; see `Algorithm.restore`."""
        super().restore(state)
        self.visited, self.first = list(state["visited"]), int(state["first"])
        if not set(self.visited) <= set(range(len(self.evaluated))):
            raise ValueError("a visit of a network that was not evaluated")


class RegularizedEvolution(SequentialSearch):
    """Aging evolution: the best of a tournament has a child, and the oldest dies.

    A random population, then `search.steps` children: the parent is the best of
    `search.tournament` members, drawn without replacement; the child has another op in
    one layer. A relative score is that among the members of the tournament, as in
    TEG-NAS, whose numbers are 256, 64 and 1000. The answer is the best of the last
    population.

    Source: Real et al., "Regularized evolution for image classifier architecture
    search", AAAI 2019; TEG-NAS, arXiv 2108.11939 and its code.

    Differs from both: a child is within the budget where some change of a single op is,
    and a network that was evaluated before is not evaluated again.
    """

    @property
    def rounds(self) -> int:
        """The first population and the children."""
        return 1 + self._settings.steps

    @property
    def alive(self) -> Candidates:
        """The population, from the oldest to the youngest."""
        return self.evaluated[np.array(self.visited[-self.first :], np.int64)]

    def ranked(self) -> Candidates:
        """The last population, ranked among itself, best first."""
        return self._problem.rescored(self.alive).best_first()

    def other_answers(self) -> dict[str, Candidates]:
        """The best of all candidates, as the search may have lost it."""
        return {"best of all": self.evaluated.best_first()}

    def ask(self) -> np.ndarray:
        """A random population, then the children one by one; see `Algorithm.ask`."""
        return super().ask() if self.visited else super(SequentialSearch, self).ask()

    def learn(self) -> None:
        """Nothing but the size of the first population."""
        self.first = self.first or len(self.visited)

    def propose(self) -> np.ndarray:
        """A child of the best of a tournament; int64[L]."""
        alive = self.alive
        count = min(self._settings.tournament, len(alive))
        drawn = alive[self._rng.choice(len(alive), count, replace=False)]
        best = self._problem.rescored(drawn).best_first()
        parent = (best if len(best) else drawn).architectures[0]
        return self.first_legal(self._rng.permutation(self._changes(parent)))

    def _changes(self, parent: np.ndarray) -> np.ndarray:
        """int64[N, L]: all networks with another op in one layer, or the only one."""
        layers, ops = np.nonzero(self._problem.space.allowed)
        other = parent[layers] != ops
        layers, ops = layers[other], ops[other]
        children = np.tile(parent, (max(1, len(layers)), 1))
        children[np.arange(len(layers)), layers] = ops
        return children
