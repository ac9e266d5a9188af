"""Random genomes of a search space, many at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from difnas_jax.spaces.base import SearchSpace

REPAIR_STEPS = 200


class Genomes:
    """Draws architectures and varies them; every result is valid in the space."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        """Prepare the space for vectorised draws; every draw follows from `seed`."""
        self._rng = np.random.default_rng(seed)
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

    def repair(
        self, genomes: np.ndarray, violation: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Walk towards where nothing is violated, for at most `REPAIR_STEPS`.

        A step draws the op of one random layer again and stays where it was if that
        leads away.

        Args:
          genomes: int64[N, L].
          violation: maps int64[N, L] to float64[N], 0 for a genome that may stay.

        Returns:
          int64[N, L]; some may still be outside.
        """
        genomes = genomes.copy()
        distance = violation(genomes)
        for _ in range(REPAIR_STEPS):
            outside = np.flatnonzero(distance)
            if not outside.size:
                break
            changed = self._redraw_one(genomes[outside])
            after = violation(changed)
            accepted = after <= distance[outside]
            genomes[outside[accepted]] = changed[accepted]
            distance[outside[accepted]] = after[accepted]
        return genomes

    def _redraw_one(self, genomes: np.ndarray) -> np.ndarray:
        changed = genomes.copy()
        layers = self._rng.integers(len(self._layers), size=len(genomes))
        changed[np.arange(len(genomes)), layers] = self._draw_ops(layers)
        return changed

    def _draw_ops(self, layers: np.ndarray) -> np.ndarray:
        return self._op_choices[layers, self._rng.integers(self._op_counts[layers])]
