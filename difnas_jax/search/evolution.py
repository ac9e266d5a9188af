"""Evolutionary search over integer genomes, with the numbers of SPOS and BN-NAS.

Nothing here loops without a bound: operators propose a fixed number of children at
once, and those outside the budget are repaired by a random walk of bounded length.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from difnas_jax.costs import CostTable
from difnas_jax.errors import InputError
from difnas_jax.search.budget import Budget, check_reachable, describe
from difnas_jax.search.candidates import Candidates
from difnas_jax.search.genomes import Genomes
from difnas_jax.spaces.base import SearchSpace

TRIES = 10  # proposals per wanted child
FILL_ROUNDS = 10


@dataclasses.dataclass(frozen=True)
class Settings:
    """The numbers of SPOS and BN-NAS.

    Attributes:
      generations: populations that are scored, the random first one included.
      population: candidates per generation.
      parents: the best so far, from which children come.
      mutations, crossovers: children of each operator per generation.
      mutation_probability: chance per layer that a mutation draws its op again.
    """

    generations: int = 20
    population: int = 50
    parents: int = 10
    mutations: int = 25
    crossovers: int = 25
    mutation_probability: float = 0.1

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
          InputError: a number that cannot be.
        """
        children = max(1, self.mutations + self.crossovers)
        least = {"generations": 1, "population": children, "parents": 1}
        for field, value in dataclasses.asdict(self).items():
            low = least.get(field, 0)
            if value < low:
                raise InputError(f"search.{field}: expected {low} or more, got {value}")
        if self.mutation_probability > 1:
            raise InputError(
                "search.mutation_probability: expected at most 1, got "
                f"{self.mutation_probability}"
            )


class Evolution:
    """Ask for candidates, tell their scores.

    Legal is a candidate that was not evaluated before and is within the budget.
    Parents are the best over everything evaluated.

    Differs from SPOS and BN-NAS: where too few proposals of an operator fit the budget,
    the others are moved into it. Without that a narrow budget starves mutation and
    crossover, and random draws may never end.

    Attributes:
      evaluated: everything told so far, in order.
    """

    def __init__(
        self,
        space: SearchSpace,
        costs: CostTable,
        budget: Budget,
        settings: Settings,
        seed: int,
    ) -> None:
        """Start an empty search.

        Args:
          space: what to search.
          costs: the cost table of `space`.
          budget: what a candidate may cost.
          settings: numbers of the evolution.
          seed: every draw follows from it.

        Raises:
          InputError: a budget outside what the space reaches.
        """
        check_reachable(budget, costs, space)
        self._space = space
        self._costs = costs
        self._budget = budget
        self._settings = settings
        self._genomes = Genomes(space, seed)
        self.evaluated = self._with_costs(self._genomes.draw(0), np.zeros(0))

    @property
    def parents(self) -> Candidates:
        """The best evaluated so far; one without a finite score is never a parent."""
        return self.evaluated.best_first()[: self._settings.parents]

    def ask(self) -> np.ndarray:
        """Propose the next population.

        Returns:
          int64[N, L]; N is smaller than the population, and possibly 0, when not
          enough legal candidates are found.

        Raises:
          InputError: nothing within the budget was found at all.
        """
        settings, parents = self._settings, self.parents.architectures
        population = self._genomes.draw(0)
        if len(parents):
            mutants = self._genomes.mutate(
                parents, TRIES * settings.mutations, settings.mutation_probability
            )
            population = self._admit(population, mutants, settings.mutations)
            crossed = self._genomes.cross(parents, TRIES * settings.crossovers)
            population = self._admit(population, crossed, settings.crossovers)
        population = self._fill(population)
        if not len(population) and not len(self.evaluated):
            raise InputError(
                "search: found no architecture within the budget; expected "
                f"{describe(self._budget, self._costs, self._space)}; widen it"
            )
        return population

    def tell(self, architectures: np.ndarray, scores: np.ndarray) -> None:
        """Record the scores of candidates.

        Args:
          architectures: int[N, L], as asked.
          scores: float64[N], higher is better; NaN for one that could not be scored.
        """
        self.evaluated = self.evaluated.joined(self._with_costs(architectures, scores))

    def _with_costs(self, architectures: np.ndarray, scores: np.ndarray) -> Candidates:
        macs, params = self._costs.of(architectures)
        return Candidates(architectures, np.asarray(scores, np.float64), macs, params)

    def _fill(self, population: np.ndarray) -> np.ndarray:
        """Fill the population up with random candidates."""
        for _ in range(FILL_ROUNDS):
            missing = self._settings.population - len(population)
            if not missing:
                break
            drawn = self._genomes.draw(TRIES * self._settings.population)
            population = self._admit(population, drawn, missing)
        return population

    def _admit(
        self, population: np.ndarray, proposals: np.ndarray, quota: int
    ) -> np.ndarray:
        """Append `quota` proposals: those that are legal first, then repaired ones."""
        wanted = len(population) + quota
        population = self._append_legal(population, proposals, wanted)
        if len(population) < wanted:
            repaired = self._genomes.repair(proposals, self._violation)
            population = self._append_legal(population, repaired, wanted)
        return population

    def _append_legal(
        self, population: np.ndarray, proposals: np.ndarray, wanted: int
    ) -> np.ndarray:
        """Append proposals that are new and within the budget, up to `wanted` rows."""
        fitting = proposals[self._violation(proposals) == 0]
        known = np.concatenate((self.evaluated.architectures, population))
        rows = np.concatenate((known, fitting))
        first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
        new = rows[first[first >= len(known)]]
        return np.concatenate((population, new))[:wanted]

    def _violation(self, genomes: np.ndarray) -> np.ndarray:
        return self._budget.violation(*self._costs.of(genomes))


def run(
    space: SearchSpace,
    costs: CostTable,
    budget: Budget,
    score: Callable[[np.ndarray], np.ndarray],
    *,
    settings: Settings | None = None,
    seed: int = 0,
    on_generation: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[Candidates, list[dict[str, Any]]]:
    """Search until the generations are over or nothing new is found.

    Args:
      space: what to search.
      costs: the cost table of `space`.
      budget: what a candidate may cost.
      score: maps int64[N, L] architectures to float64[N], higher is better.
      settings: numbers of the evolution; those of SPOS and BN-NAS by default.
      seed: every draw follows from it.
      on_generation: called with each row of the history as it is made.

    Returns:
      Everything evaluated that has a finite score, best first, and one row per
      generation: `generation`, `evaluated` and `best`, `best_macs`, `best_params` so
      far, and the `median` score of the generation; None without any finite score.

    Raises:
      InputError: a budget without architectures, or no candidate with a finite score.
    """
    settings = settings or Settings()
    evolution = Evolution(space, costs, budget, settings, seed)
    history = []
    for generation in range(settings.generations):
        population = evolution.ask()
        if not len(population):
            break
        scores = np.asarray(score(population), np.float64)
        evolution.tell(population, scores)
        history.append({"generation": generation, **_summary(evolution, scores)})
        if on_generation is not None:
            on_generation(history[-1])
    ranked = evolution.evaluated.best_first()
    if not len(ranked):
        raise InputError(
            f"search: expected finite scores, got none for "
            f"{len(evolution.evaluated)} candidates; check the indicator"
        )
    return ranked, history


def _summary(evolution: Evolution, scores: np.ndarray) -> dict[str, Any]:
    best = evolution.parents[:1]
    finite = scores[np.isfinite(scores)]
    return {
        "evaluated": len(evolution.evaluated),
        "best": best.scores.item() if len(best) else None,
        "median": float(np.median(finite)) if len(finite) else None,
        "best_macs": best.macs.item() if len(best) else None,
        "best_params": best.params.item() if len(best) else None,
    }
