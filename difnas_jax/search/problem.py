"""What is searched: a space, what it costs, what is allowed, and perhaps a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.search.budget import Budget, check_reachable, describe
from difnas_jax.search.candidates import SCORE, Candidates
from difnas_jax.search.canonical import highest_scoring_paths
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import CostTable


@dataclasses.dataclass(frozen=True)
class Problem:
    """What every search algorithm gets.

    Attributes:
      space: what to search.
      costs: the cost table of `space`.
      budget: bounds on the costs of a candidate.
      table: float64[L, O] whose sum along an architecture is its score; None where
        the score is not additive.
    """

    space: SearchSpace
    costs: CostTable
    budget: Budget
    table: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check the budget.

        Raises:
          InputError: a budget outside what the space reaches.
        """
        check_reachable(self.budget, self.costs, self.space)

    def violation(self, architectures: np.ndarray) -> np.ndarray:
        """float64[N], 0 where the budget allows an architecture of int[N, L]."""
        return self.budget.violation(self.costs.of(architectures))

    def legal(self, architectures: np.ndarray) -> np.ndarray:
        """Those of int[N, L] that are connected and within the budget.

        With a table, each is replaced by the highest-scoring path of its network.
        """
        if self.table is not None:
            architectures = highest_scoring_paths(architectures, self.table, self.space)
        inside = self.violation(architectures) == 0
        return architectures[inside & self.space.is_connected(architectures)]

    def distinct(self, architectures: np.ndarray) -> np.ndarray:
        """Indices, in order, of the first row of int[N, L] of each network."""
        networks = self.space.canonical(architectures)
        return np.sort(np.unique(networks, axis=0, return_index=True)[1])

    def candidates(
        self, architectures: np.ndarray, columns: Mapping[str, np.ndarray]
    ) -> Candidates:
        """Architectures int[N, L] and their scored columns [N], with their costs."""
        scored = {name: np.asarray(c, np.float64) for name, c in columns.items()}
        return Candidates(architectures, scored | self.costs.of(architectures))

    def no_candidates(self) -> Candidates:
        """No candidates yet."""
        none = np.zeros((0, self.space.num_layers), np.int64)
        return self.candidates(none, {SCORE: np.zeros(0)})

    def infeasible(self) -> InputError:
        """The error for a budget that holds no architecture."""
        return InputError(
            "search: found no architecture within the budget; expected "
            f"{describe(self.budget, self.costs, self.space)}; widen it"
        )
