"""Evolutionary search, with the operators of SPOS and BN-NAS."""

from collections.abc import Iterator

import numpy as np

from difnas_jax.search.additive import sum_along_paths
from difnas_jax.search.base import Settings
from difnas_jax.search.candidates import Candidates
from difnas_jax.search.population import TRIES, PopulationSearch, repair

PENALTY = 1.0
STEPS = 200
TOLERANCE = 1e-8  # of the residual at the start


class Evolution(PopulationSearch):
    """Mutations and crossovers of the best of all candidates evaluated so far.

    Differs from SPOS and BN-NAS: these evaluate the first children that fit. Here, with
    `screening`, a linear model of all scores so far chooses the changes that move a
    proposal into the budget, and the children of the highest predicted score are
    evaluated. The numbers of evaluations, parents and children are those of the papers.
    """

    @classmethod
    def least_population(cls, settings: Settings) -> int:
        """The children of a generation, of which a population has room for all."""
        return settings.mutations + settings.crossovers

    @property
    def parents(self) -> Candidates:
        """The best evaluated so far; one without a finite score is never a parent."""
        return self.evaluated.best_first()[: self._settings.parents]

    def children(self) -> Iterator[tuple[np.ndarray, int]]:
        """Mutants, then crossovers; none before there is a parent."""
        settings, parents = self._settings, self.parents.architectures
        if not len(parents):
            return
        count, probability = TRIES * settings.mutations, settings.mutation_probability
        mutants = self._variation.mutate(parents, count, probability)
        yield self._screened(mutants), settings.mutations
        crossed = self._variation.cross(parents, TRIES * settings.crossovers)
        yield self._screened(crossed), settings.crossovers

    def _screened(self, proposals: np.ndarray) -> np.ndarray:
        """The proposals within the budget, the most promising first."""
        if not self._settings.screening:
            return proposals
        known = self.evaluated[np.isfinite(self.evaluated.scores)]
        num_ops = self._problem.space.num_ops
        effects = linear_effects(known.architectures, known.scores, num_ops)
        repaired = repair(proposals, self._problem, self._rng, effects)
        return repaired[np.argsort(-sum_along_paths(effects, repaired), kind="stable")]


def linear_effects(
    architectures: np.ndarray, scores: np.ndarray, num_ops: int
) -> np.ndarray:
    """How much each op of each layer adds to a score, by ridge regression.

    The model is score = mean + sum over layers of the effect of the op there, with
    `PENALTY` times the squared effects. It is solved by conjugate gradients on the op
    indices. A least-squares routine (`numpy.linalg.lstsq`) would need the dense design
    matrix [N, L * O] and a BLAS, whose threads are slow on a busy machine and whose
    order of summation may change the last bit of a resumed search.

    Args:
      architectures: int[N, L].
      scores: float64[N], finite.
      num_ops: O.

    Returns:
      float64[L, O]; 0 for an op that was never seen.
    """
    layers = architectures.shape[1]
    cells = architectures + num_ops * np.arange(layers)  # [N, L] into L * O effects

    def total(values: np.ndarray) -> np.ndarray:
        """Sum float64[N] over the candidates that have each op."""
        weights = np.repeat(values, layers)
        return np.bincount(cells.ravel(), weights, minlength=layers * num_ops)

    residual = total(scores - scores.mean())
    effects, direction = np.zeros_like(residual), residual
    square = start = (residual**2).sum()
    for _ in range(STEPS):
        if square <= TOLERANCE**2 * start:
            break
        image = total(direction[cells].sum(1)) + PENALTY * direction
        step = square / (direction * image).sum()
        effects = effects + step * direction
        residual = residual - step * image
        square, before = (residual**2).sum(), square
        direction = residual + square / before * direction
    return effects.reshape(layers, num_ops)
