"""The search algorithms, one row each, and the one loop that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.search.candidates import Candidates
from difnas_jax.search.evolution import Evolution
from difnas_jax.search.exact import Exact
from difnas_jax.search.nsga2 import NSGA2
from difnas_jax.search.problem import Problem
from difnas_jax.search.random_search import RandomSearch
from difnas_jax.search.settings import Settings


class Algorithm(Protocol):
    """Ask for candidates, tell their scores.

    Attributes:
      needs_table: whether it works only where the score is additive.
      evaluated: everything told so far, in order.
    """

    needs_table: ClassVar[bool]
    evaluated: Candidates

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        """Start an empty search; every draw follows from `seed`."""
        ...

    def ask(self) -> np.ndarray:
        """int64[N, L] to be scored next; N = 0 when it is finished."""
        ...

    def tell(self, architectures: np.ndarray, scores: np.ndarray) -> None:
        """The scores float64[N] of what was asked; NaN where there is none."""
        ...

    def state(self) -> dict[str, Any]:
        """JSON values from which `restore` continues bit for bit."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state; KeyError, TypeError or ValueError for another."""
        ...


ALGORITHMS: dict[str, type[Algorithm]] = {
    "evolution": Evolution,
    "random": RandomSearch,
    "nsga2": NSGA2,
    "exact": Exact,
}


class Search:
    """An algorithm at work.

    Attributes:
      algorithm: what proposes.
      history: one row per generation: `generation`, `evaluated` and `best`,
        `best_macs`, `best_params` so far, and the `median` score of the generation;
        None without any finite score.
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

    def run(
        self,
        score: Callable[[np.ndarray], np.ndarray],
        on_generation: Callable[[dict[str, Any]], None] = lambda row: None,
    ) -> Candidates:
        """Search until the algorithm is finished.

        Args:
          score: maps int64[N, L] architectures to float64[N], higher is better.
          on_generation: called with each row of the history; `state` may be saved then.

        Returns:
          Everything evaluated that has a finite score, best first.

        Raises:
          InputError: a budget without architectures, or no candidate with a finite
            score.
        """
        while self._step(score):
            on_generation(self.history[-1])
        evaluated = self.algorithm.evaluated
        ranked = evaluated.best_first()
        if not len(ranked):
            raise InputError(
                f"search: expected finite scores, got none for {len(evaluated)} "
                "candidates; check the indicator"
            )
        return ranked

    def _step(self, score: Callable[[np.ndarray], np.ndarray]) -> bool:
        """One generation; whether there was one."""
        start = time.monotonic()
        population = self.algorithm.ask()
        if len(population):
            scores = np.asarray(score(population), np.float64)
            self.algorithm.tell(population, scores)
            self.history.append(self._summary(scores))
        self.seconds += time.monotonic() - start
        return len(population) > 0

    def _summary(self, scores: np.ndarray) -> dict[str, Any]:
        best = self.algorithm.evaluated.best_first()[:1]
        finite = scores[np.isfinite(scores)]
        return {
            "generation": len(self.history),
            "evaluated": len(self.algorithm.evaluated),
            "best": best.scores.item() if len(best) else None,
            "median": float(np.median(finite)) if len(finite) else None,
            "best_macs": best.macs.item() if len(best) else None,
            "best_params": best.params.item() if len(best) else None,
        }
