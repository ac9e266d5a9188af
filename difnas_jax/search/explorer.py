"""What evolution, random search and NSGA-II share: candidates that are new and legal.

Legal is a candidate that was not evaluated before and is within the budget. Nothing
here loops without a bound: operators propose a fixed number of children at once, and
those outside the budget are repaired in a bounded number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from difnas_jax.search.genomes import Genomes
from difnas_jax.search.problem import Problem
from difnas_jax.search.repair import repair
from difnas_jax.search.settings import Settings

TRIES = 20  # proposals per wanted child
FILL_ROUNDS = 10


class Explorer:
    """Ask for a population, tell its scores, until the generations are over.

    An algorithm says in `children` what it proposes; what is missing in a population
    is drawn at random. Architectures that are the same network (see
    `SearchSpace.canonical`) are evaluated once: with an additive score along their best
    path, else along the one that is proposed first.

    Differs from SPOS and BN-NAS: where too few proposals of an operator fit the budget,
    the others are moved into it. Without that a narrow budget starves mutation and
    crossover, and random draws may never end.

    Attributes:
      evaluated: everything told so far, in order.
    """

    needs_table: ClassVar[bool] = False

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        """Start an empty search.

        Args:
          problem: what to search.
          settings: its numbers.
          seed: every draw follows from it.
        """
        self._problem = problem
        self._settings = settings
        self._genomes = Genomes(problem.space, seed)
        self._generation = 0
        self.evaluated = problem.nothing()

    def children(self) -> Iterator[tuple[np.ndarray, int]]:
        """Proposals int64[N, L] of each operator, and how many of them are wanted."""
        yield from ()

    def ask(self) -> np.ndarray:
        """Propose the next population.

        Returns:
          int64[N, L]; N is smaller than the population when not enough legal
          candidates are found, and 0 when there is none or the generations are over.

        Raises:
          InputError: nothing within the budget was found at all.
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

    def tell(self, architectures: np.ndarray, scores: np.ndarray) -> None:
        """Record the scores of a population.

        Args:
          architectures: int[N, L], as asked.
          scores: float64[N], higher is better; NaN for one that could not be scored.
        """
        told = self._problem.candidates(architectures, scores)
        self.evaluated = self.evaluated.joined(told)
        self._generation += 1

    def state(self) -> dict[str, Any]:
        """All that the rest of the search depends on, as JSON values."""
        return {
            "generation": self._generation,
            "architectures": self.evaluated.architectures.tolist(),
            "scores": self.evaluated.scores.tolist(),
            "random": self._genomes.rng.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned, bit for bit.

        Raises:
          InputError, KeyError, TypeError, ValueError: not such a state.
        """
        shape = -1, self._problem.space.num_layers
        architectures = np.array(state["architectures"], np.int64).reshape(shape)
        scores = np.array(state["scores"], np.float64)
        for architecture in state["architectures"]:
            self._problem.space.validate(architecture)
        if len(architectures) != len(scores):
            raise ValueError(f"{len(scores)} scores of {len(architectures)} networks")
        self.evaluated = self._problem.candidates(architectures, scores)
        self._generation = int(state["generation"])
        self._genomes.rng.bit_generator.state = state["random"]

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
            repaired = repair(proposals, self._problem, self._genomes.rng)
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
