"""Architectures with what a search knows about them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Architectures with score and cost.

    Attributes:
      architectures: int[N, L].
      scores: float64[N].
      macs, params: int64[N].
    """

    architectures: np.ndarray
    scores: np.ndarray
    macs: np.ndarray
    params: np.ndarray

    def __len__(self) -> int:
        """N."""
        return len(self.scores)

    def __getitem__(self, index: Any) -> Candidates:
        """Select candidates with a numpy index."""
        return Candidates(
            *(getattr(self, field.name)[index] for field in dataclasses.fields(self))
        )

    def joined(self, other: Candidates) -> Candidates:
        """These, then the others."""
        return Candidates(
            *(
                np.concatenate((getattr(self, field.name), getattr(other, field.name)))
                for field in dataclasses.fields(self)
            )
        )

    def best_first(self) -> Candidates:
        """Those with a finite score, the highest first.

        Ties are broken by fewer MACs, then by the smaller architecture in
        lexicographic order, so that the order never depends on when one was found.
        """
        finite = self[np.isfinite(self.scores)]
        genes = finite.architectures.T[::-1]
        return finite[np.lexsort((*genes, finite.macs, -finite.scores))]
