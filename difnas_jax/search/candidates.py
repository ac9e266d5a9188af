"""Architectures with what a search knows about them, in named columns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from difnas_jax.spaces.costs import MACS

SCORE = "score"


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Architectures and named columns of numbers about them.

    Attributes:
      architectures: int[N, L].
      columns: float64[N] or int64[N] by name: what the scorer measured, `score` among
        it, where higher is better; then the costs, where lower is better.
    """

    architectures: np.ndarray
    columns: dict[str, np.ndarray]

    @property
    def scores(self) -> np.ndarray:
        """float64[N], the column by which candidates are ranked."""
        return self.columns[SCORE]

    def __len__(self) -> int:
        """N."""
        return len(self.architectures)

    def __getitem__(self, index: Any) -> Candidates:
        """Select candidates with a numpy index of several."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return Candidates(self.architectures[index], columns)

    def row(self, index: int) -> dict[str, float]:
        """The columns of one candidate as Python numbers."""
        return {name: column[index].item() for name, column in self.columns.items()}

    def joined(self, other: Candidates) -> Candidates:
        """These, then the others, which have the same columns."""
        if not len(self):
            return other
        columns = {
            name: np.concatenate((column, other.columns[name]))
            for name, column in self.columns.items()
        }
        both = np.concatenate((self.architectures, other.architectures))
        return Candidates(both, columns)

    def best_first(self) -> Candidates:
        """Those with a finite score, the highest first.

        Ties are broken by fewer MACs, where that column is known, then by the smaller
        architecture in lexicographic order, so that the order never depends on when a
        candidate was found.
        """
        finite = self[np.isfinite(self.scores)]
        keys = [*finite.architectures.T[::-1]]
        if MACS in finite.columns:
            keys.append(finite.columns[MACS])
        return finite[np.lexsort((*keys, -finite.scores))]
