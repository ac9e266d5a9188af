"""Random genomes of a search space, many at once."""

from __future__ import annotations

import numpy as np

from difnas_jax.spaces.base import SearchSpace


class Genomes:
    """Draws architectures and varies them; every result is valid in the space.

    Attributes:
      rng: where all draws come from.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        """Prepare the space for vectorised draws; every draw follows from `seed`."""
        self.rng = np.random.default_rng(seed)
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
        chosen = parents[self.rng.integers(len(parents), size=count)]
        changes = self.rng.random(chosen.shape) < probability
        return np.where(changes, self.draw(count), chosen)

    def cross(self, parents: np.ndarray, count: int) -> np.ndarray:
        """Take every op from one of two random parents (uniform crossover).

        Args:
          parents: int64[N, L].
          count: number of children.

        Returns:
          int64[count, L].
        """
        mothers, fathers = parents[self.rng.integers(len(parents), size=(2, count))]
        return np.where(self.rng.random(mothers.shape) < 0.5, mothers, fathers)

    def _draw_ops(self, layers: np.ndarray) -> np.ndarray:
        return self._op_choices[layers, self.rng.integers(self._op_counts[layers])]
