"""Variation operators of evolutionary search, on many architectures at once."""

from __future__ import annotations

import numpy as np

from difnas_jax.spaces.base import SearchSpace


class Variation:
    """Draws architectures and varies them; every result is valid in the space."""

    def __init__(self, space: SearchSpace, rng: np.random.Generator) -> None:
        """Prepare the space for vectorised draws.

        Args:
          space: the search space.
          rng: source of all draws.
        """
        self._rng = rng
        self._layers = np.arange(space.num_layers)
        self._op_counts = space.allowed.sum(1)
        # Row l lists the ops that layer l allows, then the others.
        self._op_choices = np.argsort(~space.allowed, axis=1, kind="stable")

    def draw(self, count: int) -> np.ndarray:
        """int64[count, L], every op uniform among those its layer allows."""
        return self._draw_ops(np.tile(self._layers, (count, 1)))

    def mutate(self, parents: np.ndarray, count: int, probability: float) -> np.ndarray:
        """Copy random parents and draw some of their ops again.

        Args:
          parents: int64[N, L].
          count: number of children.
          probability: chance per layer; the same op may be drawn again.

        Returns:
          int64[count, L].
        """
        chosen = parents[self._rng.integers(len(parents), size=count)]
        changes = self._rng.random(chosen.shape) < probability
        return np.where(changes, self.draw(count), chosen)

    def cross(self, parents: np.ndarray, count: int) -> np.ndarray:
        """Take every op from one of two random parents (uniform crossover).

        Args:
          parents: int64[N, L].
          count: number of children.

        Returns:
          int64[count, L].
        """
        mothers, fathers = parents[self._rng.integers(len(parents), size=(2, count))]
        return np.where(self._rng.random(mothers.shape) < 0.5, mothers, fathers)

    def _draw_ops(self, layers: np.ndarray) -> np.ndarray:
        return self._op_choices[layers, self._rng.integers(self._op_counts[layers])]
