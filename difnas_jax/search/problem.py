"""What is searched: a space, what it costs, what is allowed, and perhaps a table."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Self

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.search.candidates import SCORE, Candidates
from difnas_jax.search.equal_networks import highest_scoring_paths
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import CostTable, traded

Bounds = tuple[float | None, float | None]
PREFIXES = ("min_", "max_")  # of the config fields that bound a column


@dataclasses.dataclass(frozen=True)
class Budget:
    """Inclusive bounds on the costs of a network.

    Attributes:
      bounds: (lowest, highest) by column; None is no bound.
    """

    bounds: Mapping[str, Bounds]

    @classmethod
    def of(cls, **limits: float) -> Self:
        """The budget of `min_<column>` and `max_<column>`, where 0 is no bound."""
        bounds: dict[str, Bounds] = {}
        for column in dict.fromkeys(name.partition("_")[2] for name in limits):
            low, high = (limits.get(prefix + column) or None for prefix in PREFIXES)
            bounds[column] = low, high
        return cls(bounds)

    @property
    def bounded(self) -> set[str]:
        """The columns that have a bound."""
        return {name for name, pair in self.bounds.items() if pair != (None, None)}

    def violation(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """How far outside networks are, as a fraction of the bounds they miss.

        Args:
          columns: [N] by name, every bounded column among them.

        Returns:
          float64[N]; 0 exactly where the budget allows a network.
        """
        outside = np.zeros(np.shape(next(iter(columns.values()))))
        for name, (low, high) in self.bounds.items():
            if low is not None:
                outside += np.maximum(low - columns[name], 0) / (low or 1)
            if high is not None:
                outside += np.maximum(columns[name] - high, 0) / (high or 1)
        return outside


def reachable(costs: CostTable, allowed: np.ndarray) -> dict[str, tuple[float, float]]:
    """The least and the most that an architecture costs.

    Args:
      costs: of a space.
      allowed: bool[L, O], the ops of its architectures.

    Returns:
      (lowest, highest) by cost; both ends are attained, though not necessarily by the
      same architecture in several costs.
    """
    ends = {}
    for name, table in costs.tables.items():
        least = table.min(axis=1, where=allowed, initial=table.max()).sum()
        most = table.max(axis=1, where=allowed, initial=0).sum()
        fixed = costs.fixed[name]
        ends[name] = least.item() + fixed, most.item() + fixed
    return ends


@dataclasses.dataclass(frozen=True)
class RelativeScore:
    """A score that a network has only among others, made of several columns.

    Attributes:
      directions: by column, 1 where higher is better and -1 where lower is.
      combine: float64[N, M], larger is better in every column -> float64[N].
    """

    directions: Mapping[str, int]
    combine: Callable[[np.ndarray], np.ndarray]

    def terms(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """float64[..., M] of columns float64[...]: larger is better in all of them."""
        oriented = [sign * columns[name] for name, sign in self.directions.items()]
        return np.stack(oriented, axis=-1).astype(np.float64)

    def __call__(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """The score float64[N] of N networks among each other.

        It is NaN for one that is finite in none of the columns.
        """
        terms = self.terms(columns)
        return np.where(np.isfinite(terms).any(1), self.combine(terms), np.nan)


@dataclasses.dataclass(frozen=True)
class Problem:
    """What every search algorithm gets.

    Attributes:
      space: what to search.
      costs: the cost table of `space`.
      budget: bounds on the costs of a candidate.
      table: float64[L, O] whose sum along an architecture is its score; None where
        the score is not additive.
      relative: makes the score of other columns; None where the score is a column that
        is measured.
    """

    space: SearchSpace
    costs: CostTable
    budget: Budget
    table: np.ndarray | None = None
    relative: RelativeScore | None = None

    def __post_init__(self) -> None:
        """Refuse a budget that no architecture can meet.

        It looks at each cost alone, so a narrow budget may pass although no
        architecture meets all of its bounds.

        Raises:
          InputError: a bound on a column that is no cost, a negative bound, a minimum
            above its maximum, or a bound outside what the space reaches; it names the
            field, its value and the reachable range.
        """
        for column in sorted(self.budget.bounds.keys() - self.costs.tables.keys()):
            raise InputError(
                f"search.min_{column}, search.max_{column}: expected bounds on one of "
                f"{', '.join(self.costs.tables)}, got bounds on {column!r}"
            )
        for column, (lowest, highest) in self.reach.items():
            low, high = self.budget.bounds.get(column, (None, None))
            low, high = low or 0, highest if high is None else high
            least, most = (f"search.{prefix}{column}" for prefix in PREFIXES)
            for is_wrong, text in (
                (low < 0, f"{least}: expected 0 or more, got {low}"),
                (low > highest, f"{least}: expected at most {highest}, got {low}"),
                (high < lowest, f"{most}: expected at least {lowest}, got {high}"),
                (low > high, f"{least}: expected at most {most} = {high}, got {low}"),
            ):
                if is_wrong:
                    reach = f"{lowest} to {highest} {column}"
                    raise InputError(
                        f"{text}; space {self.space.name!r} reaches {reach}"
                    )

    @property
    def reach(self) -> dict[str, tuple[float, float]]:
        """The least and the most that an architecture of the space costs."""
        return reachable(self.costs, self.space.allowed)

    @property
    def traded(self) -> str:
        """The cost of fronts; see `costs.traded`."""
        return traded(self.costs.tables, self.budget.bounded)

    def violation(self, architectures: np.ndarray) -> np.ndarray:
        """float64[N], 0 where the budget allows an architecture of int[N, L]."""
        return self.budget.violation(self.costs.of(architectures))

    def allows(self, architectures: np.ndarray) -> np.ndarray:
        """bool[N]: which of int[N, L] are connected and within the budget."""
        inside = self.violation(architectures) == 0
        return inside & self.space.is_connected(architectures)

    def legal(self, architectures: np.ndarray) -> np.ndarray:
        """Those of int[N, L] that are connected and within the budget.

        With a table, each is replaced by the highest-scoring path of its network.
        """
        if self.table is not None:
            architectures = highest_scoring_paths(architectures, self.table, self.space)
        return architectures[self.allows(architectures)]

    def distinct(self, architectures: np.ndarray) -> np.ndarray:
        """Indices, in order, of the first row of int[N, L] of each network."""
        networks = self.space.canonical(architectures)
        return np.sort(np.unique(networks, axis=0, return_index=True)[1])

    def candidates(
        self, architectures: np.ndarray, columns: Mapping[str, np.ndarray]
    ) -> Candidates:
        """Architectures int[N, L] and their scored columns [N], with their costs."""
        scored = {name: np.asarray(c, np.float64) for name, c in columns.items()}
        if self.relative is not None:
            scored = {SCORE: np.full(len(architectures), np.nan), **scored}
        costs = self.costs.of(architectures)
        return self.rescored(Candidates(architectures, scored | costs))

    def rescored(self, candidates: Candidates) -> Candidates:
        """The same candidates; a relative score is that among each other."""
        if self.relative is None or not len(candidates):
            return candidates
        score = {SCORE: self.relative(candidates.columns)}
        return dataclasses.replace(candidates, columns=candidates.columns | score)

    def terms(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """float64[..., M] of columns float64[...]: what the score is made of.

        Larger is better in all of them; it is the score alone if it is measured.
        """
        if self.relative is None:
            return np.asarray(columns[SCORE], np.float64)[..., None]
        return self.relative.terms(columns)

    @property
    def minimised(self) -> set[str]:
        """The columns in which lower is better: all costs, and some that are scored."""
        scored = self.relative.directions if self.relative else {}
        return {*self.costs.tables, *(name for name in scored if scored[name] < 0)}

    def no_candidates(self) -> Candidates:
        """No candidates yet."""
        none = np.zeros((0, self.space.num_layers), np.int64)
        return self.candidates(none, {SCORE: np.zeros(0)})

    def budget_text(self) -> str:
        """The bounds and what the space reaches, on one line for messages."""
        parts = []
        for column, (lowest, highest) in self.reach.items():
            low, high = self.budget.bounds.get(column, (None, None))
            parts.append(
                f"search.min_{column} = {low or 0} to search.max_{column} = "
                f"{'unbounded' if high is None else high} "
                f"(space {self.space.name!r} reaches {lowest} to {highest})"
            )
        return " and ".join(parts)

    def infeasible(self) -> InputError:
        """The error for a budget that holds no architecture."""
        return InputError(
            "search: found no architecture within the budget; expected "
            f"{self.budget_text()}; widen it"
        )
