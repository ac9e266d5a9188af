"""The search algorithms, one row each, and the one loop that runs them."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.search.base import Algorithm
from difnas_jax.search.candidates import SCORE, Candidates, compare
from difnas_jax.search.evolution import Evolution
from difnas_jax.search.exact import Exact
from difnas_jax.search.nsga2 import NSGA2
from difnas_jax.search.policy_search import Gumbel, Reinforce
from difnas_jax.search.population import RandomSearch
from difnas_jax.search.problem import Problem
from difnas_jax.search.pruning import Pruning
from difnas_jax.search.sequential import RegularizedEvolution

# int64[N, L] -> float64[N] by name, or bool[N, L, O] -> float64[N, R]; see
# `Algorithm.tell`.
Score = Callable[[np.ndarray], Mapping[str, np.ndarray]]
OnStep = Callable[[dict[str, Any]], None]

ALGORITHMS: dict[str, type[Algorithm]] = {
    "evolution": Evolution,
    "random": RandomSearch,
    "nsga2": NSGA2,
    "exact": Exact,
    "regularized_evolution": RegularizedEvolution,
    "reinforce": Reinforce,
    "gumbel": Gumbel,
    "pruning": Pruning,
}


class Search:
    """A running search.

    Attributes:
      algorithm: what proposes candidates.
      history: one row per generation: `generation`, `evaluated`, how many of the
        generation have a `non_finite` value, the `best` score so far, the `median`
        score of the generation, and the other columns of the best candidate as
        `best_macs`, `best_params` and so on; None without any finite score.
      seconds: wall time of proposing and scoring, over all sessions.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        """Start with nothing evaluated."""
        self.algorithm = algorithm
        self.history: list[dict[str, Any]] = []
        self.seconds = 0.0

    def state(self) -> dict[str, Any]:
        """JSON values from which `restore` continues."""
        return {
            "seconds": self.seconds,
            "history": self.history,
            "algorithm": self.algorithm.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned.

        Raises:
          KeyError, TypeError, ValueError: not such a state.
        """
        self.algorithm.restore(state["algorithm"])
        self.history = list(state["history"])
        self.seconds = float(state["seconds"])

    def run(self, score: Score, on_generation: OnStep = lambda row: None) -> Candidates:
        """Search until the algorithm is finished.

        Args:
          score: maps what the algorithm asks for to named columns.
          on_generation: called with each row of the history; `state` may be saved then.

        Returns:
          The candidates from which the algorithm answers, best first; all that it
          evaluated and that have a finite score, unless it says otherwise.

        Raises:
          InputError: a budget without architectures, or no candidate with a finite
            score.
        """
        while self._step(score):
            on_generation(self.history[-1])
        ranked = self.algorithm.ranked()
        if not len(ranked):
            raise InputError(
                "search: expected finite scores, got none for "
                f"{self.algorithm.evaluations} candidates; check what method.score "
                "is made of"
            )
        return ranked

    def _step(self, score: Score) -> bool:
        """One generation; whether there was one."""
        start = time.monotonic()
        population = self.algorithm.ask()
        if len(population):
            columns = score(population)
            self.algorithm.tell(population, columns)
            self.history.append(self._summary(columns))
        self.seconds += time.monotonic() - start
        return len(population) > 0

    def _summary(self, columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
        evaluated = self.algorithm.evaluated
        ranked, count = evaluated.best_first(), len(next(iter(columns.values())))
        best = ranked.row(0) if len(ranked) else dict.fromkeys(evaluated.columns)
        scores = columns.get(SCORE, evaluated.scores[-count:])
        others = {name: column for name, column in columns.items() if name != SCORE}
        return {
            "generation": len(self.history),
            "evaluated": self.algorithm.evaluations,
            "non_finite": _non_finite(columns),
            "best": best.pop(SCORE),
            "median": _finite_median(scores),
            **{f"best_{name}": value for name, value in best.items()},
            **{f"median_{name}": _finite_median(c) for name, c in others.items()},
        }


def _non_finite(columns: Mapping[str, np.ndarray]) -> int:
    """How many rows of columns [N] or [N, R] have a value that is not finite."""
    finite = [np.isfinite(c).reshape(len(c), -1).all(1) for c in columns.values()]
    return int((~np.all(finite, axis=0)).sum())


def _finite_median(values: np.ndarray) -> float | None:
    """The median of what is finite in any array; None of nothing."""
    finite = np.asarray(values, np.float64)[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else None


def compare_searches(
    searches: Mapping[str, Search], found: Mapping[str, Candidates], problem: Problem
) -> list[dict[str, Any]]:
    """One row for each answer of each search; see `candidates.compare`.

    Args:
      searches: by name of the algorithm.
      found: what those found that found something; see `Search.run`.
      problem: a relative score is that among all of these candidates together.
    """
    answers = {}
    for name, candidates in found.items():
        others = searches[name].algorithm.other_answers()
        named = {f"{name}, {other}": those for other, those in others.items()}
        for label, those in ({name: candidates} | named).items():
            if len(those):
                answers[label] = searches[name], those
    parts = [those for _, those in answers.values()]
    together = problem.rescored(functools.reduce(Candidates.joined, parts))
    ends = np.cumsum([len(part) for part in parts])
    rows = np.split(np.arange(len(together)), ends[:-1])
    return compare(
        {label: together[own] for label, own in zip(answers, rows, strict=True)},
        {label: s.algorithm.evaluations for label, (s, _) in answers.items()},
        {label: search.seconds for label, (search, _) in answers.items()},
    )
