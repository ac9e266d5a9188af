"""The base of all search algorithms, with the usual interface of ask and tell."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from difnas_jax.search.candidates import SCORE, Candidates
from difnas_jax.search.problem import Problem


@dataclasses.dataclass(frozen=True)
class Settings:
    """The fields of the config section `search` that algorithms read.

    Attributes:
      generations: populations that are scored, the random first one included.
      population: candidates per generation.
      parents: the best so far, from which children come.
      mutations, crossovers: children of each operator per generation.
      mutation_probability: chance per layer that a mutation draws its op again.
      tournament: members of a population among which a parent is chosen.
      steps: networks that are visited one after another.
      policy_learning_rate: of Adam, for the logits of a policy.
      screening: evaluate the proposals of the highest score predicted by a linear model
        of the scores so far; else any of them, as SPOS and BN-NAS do.
      objectives: columns that NSGA-II trades against each other.
    """

    generations: int
    population: int
    parents: int
    mutations: int
    crossovers: int
    mutation_probability: float
    tournament: int
    steps: int
    policy_learning_rate: float
    screening: bool
    objectives: tuple[str, ...]

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """The settings among the values of a config section."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: section[name] for name in names})


class Algorithm(abc.ABC):
    """Proposes populations and records their scores.

    Attributes:
      needs_table: whether it works only where the score is additive.
      needs_subsets: whether it asks for the scores of sets of ops, bool[N, L, O], in
        place of architectures; `tell` then gets columns float64[N, R] of R repeats.
      evaluates: what it counts as evaluated, for readers of the report.
      evaluated: all candidates scored so far, in order.
    """

    needs_table: ClassVar[bool] = False
    needs_subsets: ClassVar[bool] = False
    evaluates: ClassVar[str] = (
        "different networks, each scored once: where the best are found early, the "
        "median of what is left falls"
    )

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        """Start with no candidates.

        Args:
          problem: what to search.
          settings: the numbers of the search.
          seed: every draw follows from it.
        """
        self._problem = problem
        self._settings = settings
        self._rng = np.random.default_rng(seed)
        self._generation = 0
        self.evaluated = problem.no_candidates()

    @classmethod
    def least_population(cls, settings: Settings) -> int:
        """The smallest `population` with which it works."""
        return 1

    @abc.abstractmethod
    def ask(self) -> np.ndarray:
        """int64[N, L] to be scored next; N = 0 when the search is finished."""

    @property
    @abc.abstractmethod
    def rounds(self) -> int:
        """How often `ask` wants scores, at most."""

    @property
    def evaluations(self) -> int:
        """How many scores were measured so far."""
        return len(self.evaluated)

    def ranked(self) -> Candidates:
        """The candidates with a finite score from which the answer is, best first."""
        return self.evaluated.best_first()

    def other_answers(self) -> dict[str, Candidates]:
        """By name: what else the same search could answer, best first."""
        return {}

    def tell(
        self, architectures: np.ndarray, columns: Mapping[str, np.ndarray]
    ) -> None:
        """Record the measured columns of a population.

        Args:
          architectures: int[N, L], as asked.
          columns: float64[N] by name, the same names every time, `score` among them or
            else all of which the problem makes it; NaN where there is no value.
        """
        scored = self._problem.candidates(architectures, columns)
        self.evaluated = self._problem.rescored(self.evaluated.joined(scored))
        self._generation += 1

    def state(self) -> dict[str, Any]:
        """All that the rest of the search depends on, as JSON values."""
        columns, costs = self.evaluated.columns.items(), self._problem.costs.tables
        return {
            "generation": self._generation,
            "architectures": self.evaluated.architectures.tolist(),
            "columns": {name: c.tolist() for name, c in columns if name not in costs},
            "random": self._rng.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned, bit for bit.

        Raises:
          InputError, KeyError, TypeError, ValueError: not such a state.
        """
        shape = -1, self._problem.space.num_layers
        architectures = np.array(state["architectures"], np.int64).reshape(shape)
        for architecture in state["architectures"]:
            self._problem.space.validate(architecture)
        columns = dict(state["columns"])
        for name in (SCORE, *columns):
            if len(columns[name]) != len(architectures):
                raise ValueError(f"{name} of not exactly {len(architectures)} networks")
        self.evaluated = self._problem.candidates(architectures, columns)
        self._generation = int(state["generation"])
        self._rng.bit_generator.state = state["random"]
