"""Evolutionary search, with the operators of SPOS and BN-NAS."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from difnas_jax.search.additive import sum_along_paths
from difnas_jax.search.candidates import Candidates
from difnas_jax.search.population import TRIES, PopulationSearch
from difnas_jax.search.repair import repair
from difnas_jax.search.screening import linear_effects


class Evolution(PopulationSearch):
    """Mutations and crossovers of the best of all candidates evaluated so far.

    Differs from SPOS and BN-NAS: these evaluate the first children that fit. Here, with
    `screening`, a linear model of all scores so far chooses the changes that move a
    proposal into the budget, and the children of the highest predicted score are
    evaluated. The numbers of evaluations, parents and children are those of the papers.
    """

    @property
    def parents(self) -> Candidates:
        """The best evaluated so far; one without a finite score is never a parent."""
        return self.evaluated.best_first()[: self._settings.parents]

    def children(self) -> Iterator[tuple[np.ndarray, int]]:
        """Mutants, then crossovers; none before there is a parent."""
        settings, parents = self._settings, self.parents.architectures
        if not len(parents):
            return
        mutants = self._variation.mutate(
            parents, TRIES * settings.mutations, settings.mutation_probability
        )
        yield self._screened(mutants), settings.mutations
        crossed = self._variation.cross(parents, TRIES * settings.crossovers)
        yield self._screened(crossed), settings.crossovers

    def _screened(self, proposals: np.ndarray) -> np.ndarray:
        """The proposals within the budget, the most promising first."""
        if not self._settings.screening:
            return proposals
        known = self.evaluated[np.isfinite(self.evaluated.scores)]
        effects = linear_effects(
            known.architectures, known.scores, self._problem.space.num_ops
        )
        repaired = repair(proposals, self._problem, self._rng, effects)
        return repaired[np.argsort(-sum_along_paths(effects, repaired), kind="stable")]
