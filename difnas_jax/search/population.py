"""What evolution, random search and NSGA-II share: populations of new candidates.

A proposal is legal if its network is connected, within the budget and was not evaluated
before. No loop here is unbounded: operators propose a fixed number of children at
once, and those outside the budget are repaired in a bounded number of steps.
"""

import abc
from collections.abc import Iterator

import numpy as np

from difnas_jax.search.base import Algorithm, Settings
from difnas_jax.search.problem import Problem
from difnas_jax.spaces.base import SearchSpace

TRIES = 20  # proposals per wanted child
FILL_ROUNDS = 10
REPAIR_STEPS = 100


class Variation:
    """Draws architectures and varies them; every result is valid in the space."""

    def __init__(self, space: SearchSpace, rng: np.random.Generator) -> None:
        """Prepare the space for vectorised draws.

        Args:
          space: the search space.
          rng: source of all draws.
        """
        self._rng = rng
        self._layers = np.arange(space.num_layers)
        self._op_counts = space.allowed.sum(1)
        # Row l lists the ops that layer l allows, then the others.
        self._op_choices = np.argsort(~space.allowed, axis=1, kind="stable")

    def draw(self, count: int) -> np.ndarray:
        """int64[count, L], every op uniform among those its layer allows."""
        layers = np.tile(self._layers, (count, 1))
        return self._op_choices[layers, self._rng.integers(self._op_counts[layers])]

    def mutate(self, parents: np.ndarray, count: int, probability: float) -> np.ndarray:
        """Copy random parents and draw some of their ops again.

        Args:
          parents: int64[N, L].
          count: number of children.
          probability: chance per layer; the same op may be drawn again.

        Returns:
          int64[count, L].
        """
        chosen = parents[self._rng.integers(len(parents), size=count)]
        changes = self._rng.random(chosen.shape) < probability
        return np.where(changes, self.draw(count), chosen)

    def cross(self, parents: np.ndarray, count: int) -> np.ndarray:
        """Take every op from one of two random parents (uniform crossover).

        Args:
          parents: int64[N, L].
          count: number of children.

        Returns:
          int64[count, L].
        """
        mothers, fathers = parents[self._rng.integers(len(parents), size=(2, count))]
        return np.where(self._rng.random(mothers.shape) < 0.5, mothers, fathers)


def repair(
    architectures: np.ndarray,
    problem: Problem,
    rng: np.random.Generator,
    effects: np.ndarray | None = None,
) -> np.ndarray:
    """Change one op after the other until the budget allows the architectures.

    A step looks at all changes of a single op. It takes one of those that end within
    the budget, else of those that lead towards it, else a random one, to leave a local
    minimum. So a child that is a little over the budget keeps all ops of its parents
    but one.

    Args:
      architectures: int64[N, L].
      problem: the space, its costs and the budget.
      rng: source of the choices.
      effects: float64[L, O], what each op is expected to add to the score: the best
        change is taken; without it a random one.

    Returns:
      int64[N, L]; after `REPAIR_STEPS` changes some may still be outside.
    """
    architectures = architectures.copy()
    distance = problem.violation(architectures)
    layers, ops = np.nonzero(problem.space.allowed)
    every = np.arange(architectures.shape[1])
    for _ in range(REPAIR_STEPS):
        outside = np.flatnonzero(distance)
        if not outside.size:
            break
        here = architectures[outside]
        after = _after(here, layers, ops, problem)
        preference = (after == 0) + (after < distance[outside, None]).astype(int)
        among_equals = rng.random(after.shape)
        if effects is not None:
            gain = effects[layers, ops] - effects[every, here][:, layers]
            leads = preference.any(1, keepdims=True)
            scaled = (gain - gain.min()) / (1.001 * (float(np.ptp(gain)) or 1.0))
            among_equals = np.where(leads, scaled, among_equals)  # below 1
        chosen = (preference + among_equals).argmax(1)
        architectures[outside, layers[chosen]] = ops[chosen]
        distance[outside] = after[np.arange(len(outside)), chosen]
    return architectures


def _after(
    architectures: np.ndarray, layers: np.ndarray, ops: np.ndarray, problem: Problem
) -> np.ndarray:
    """float64[N, C]: the violation after each of C changes of a single op."""
    costs, every, after = problem.costs, np.arange(architectures.shape[1]), {}
    for name, now in costs.of(architectures).items():
        table = costs.tables[name]
        change = table[layers, ops] - table[every, architectures][:, layers]
        after[name] = now[:, None] + change
    return problem.budget.violation(after)


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

    @property
    def rounds(self) -> int:
        """The generations."""
        return self._settings.generations

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
        for _ in range(FILL_ROUNDS):  # random candidates fill the population up
            if not (missing := self._settings.population - len(population)):
                break
            drawn = self._variation.draw(TRIES * self._settings.population)
            population = self._admit(population, drawn, missing)
        if not len(population) and not len(self.evaluated):
            raise self._problem.infeasible()
        return population

    def _admit(
        self, population: np.ndarray, proposals: np.ndarray, quota: int
    ) -> np.ndarray:
        """Append `quota` proposals: those that are legal first, then repaired ones."""
        wanted = len(population) + quota
        for repairs in (False, True):
            if repairs:
                proposals = repair(proposals, self._problem, self._rng)
            known = np.concatenate((self.evaluated.architectures, population))
            rows = np.concatenate((known, self._problem.legal(proposals)))
            first = self._problem.distinct(rows)
            new = rows[first[first >= len(known)]]
            population = np.concatenate((population, new))[:wanted]
            if len(population) == wanted:
                break
        return population


class RandomSearch(PopulationSearch):
    """New random architectures within the budget: the baseline of all algorithms."""

    def children(self) -> Iterator[tuple[np.ndarray, int]]:
        """No proposals, so that whole populations are drawn at random."""
        yield from ()
