"""The search algorithms, one row each, and the one loop that runs them."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.search.base import Algorithm
from difnas_jax.search.candidates import SCORE, Candidates
from difnas_jax.search.evolution import Evolution
from difnas_jax.search.exact import Exact
from difnas_jax.search.nsga2 import NSGA2
from difnas_jax.search.population import RandomSearch

# int64[N, L] -> float64[N] by name, `score` among them; see `Algorithm.tell`.
Score = Callable[[np.ndarray], Mapping[str, np.ndarray]]
OnStep = Callable[[dict[str, Any]], None]

ALGORITHMS: dict[str, type[Algorithm]] = {
    "evolution": Evolution,
    "random": RandomSearch,
    "nsga2": NSGA2,
    "exact": Exact,
}


class Search:
    """A running search.

    Attributes:
      algorithm: what proposes candidates.
      history: one row per generation: `generation`, `evaluated`, the `best` score so
        far, the `median` score of the generation, and the other columns of the best
        candidate as `best_macs`, `best_params` and so on; None without any finite
        score.
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
          score: maps architectures to named columns; higher is better in all of them.
          on_generation: called with each row of the history; `state` may be saved then.

        Returns:
          All evaluated candidates that have a finite score, best first.

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

    def _step(self, score: Score) -> bool:
        """One generation; whether there was one."""
        start = time.monotonic()
        population = self.algorithm.ask()
        if len(population):
            columns = score(population)
            self.algorithm.tell(population, columns)
            self.history.append(self._summary(np.asarray(columns[SCORE], np.float64)))
        self.seconds += time.monotonic() - start
        return len(population) > 0

    def _summary(self, scores: np.ndarray) -> dict[str, Any]:
        evaluated = self.algorithm.evaluated
        ranked, finite = evaluated.best_first(), scores[np.isfinite(scores)]
        best = ranked.row(0) if len(ranked) else dict.fromkeys(evaluated.columns)
        return {
            "generation": len(self.history),
            "evaluated": len(evaluated),
            "best": best.pop(SCORE),
            "median": float(np.median(finite)) if len(finite) else None,
            **{f"best_{name}": value for name, value in best.items()},
        }
