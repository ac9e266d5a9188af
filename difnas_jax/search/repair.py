"""Moves architectures into a budget and keeps most of their ops."""

from __future__ import annotations

import numpy as np

from difnas_jax.search.problem import Problem

STEPS = 100


def repair(
    genomes: np.ndarray, problem: Problem, rng: np.random.Generator
) -> np.ndarray:
    """Change one op after the other until the budget allows the genomes.

    A step looks at all changes of a single op. It takes a random one of those that end
    within the budget, else of those that lead towards it, else of all, to leave a dead
    end. So a child that is a little over the budget keeps all ops of its parents but
    one.

    Args:
      genomes: int64[N, L].
      problem: the space, its costs and the budget.
      rng: source of the choices.

    Returns:
      int64[N, L]; after `STEPS` changes some may still be outside.
    """
    genomes = genomes.copy()
    distance = problem.violation(genomes)
    layers, ops = np.nonzero(problem.space.allowed)
    for _ in range(STEPS):
        outside = np.flatnonzero(distance)
        if not outside.size:
            break
        after = _after(genomes[outside], layers, ops, problem)
        preference = (after == 0) + (after < distance[outside, None])
        chosen = (preference + rng.random(after.shape)).argmax(1)
        genomes[outside, layers[chosen]] = ops[chosen]
        distance[outside] = after[np.arange(len(outside)), chosen]
    return genomes


def _after(
    genomes: np.ndarray, layers: np.ndarray, ops: np.ndarray, problem: Problem
) -> np.ndarray:
    """float64[N, C]: the violation after each of C changes of a single op."""
    costs = problem.costs
    now, every = costs.of(genomes), np.arange(genomes.shape[1])
    macs, params = (
        total[:, None] + table[layers, ops] - table[every, genomes][:, layers]
        for total, table in zip(now, (costs.macs, costs.params), strict=True)
    )
    return problem.budget.violation(macs, params)
