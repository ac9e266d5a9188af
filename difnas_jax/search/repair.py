"""Moves architectures into the budget by changing few of their ops."""

from __future__ import annotations

import numpy as np

from difnas_jax.search.problem import Problem

STEPS = 100


def repair(
    architectures: np.ndarray,
    problem: Problem,
    rng: np.random.Generator,
    effects: np.ndarray | None = None,
) -> np.ndarray:
    """Change one op after the other until the budget allows the architectures.

    A step looks at all changes of a single op. It takes one of those that end within
    the budget, else of those that lead towards it, else a random one, to leave a local
    minimum. So a child that is a little over the budget keeps all ops of its parents
    but one.

    Args:
      architectures: int64[N, L].
      problem: the space, its costs and the budget.
      rng: source of the choices.
      effects: float64[L, O], what each op is expected to add to the score: the best
        change is taken; without it a random one.

    Returns:
      int64[N, L]; after `STEPS` changes some may still be outside.
    """
    architectures = architectures.copy()
    distance = problem.violation(architectures)
    layers, ops = np.nonzero(problem.space.allowed)
    every = np.arange(architectures.shape[1])
    for _ in range(STEPS):
        outside = np.flatnonzero(distance)
        if not outside.size:
            break
        here = architectures[outside]
        after = _after(here, layers, ops, problem)
        preference = (after == 0) + (after < distance[outside, None]).astype(int)
        among_equals = rng.random(after.shape)
        if effects is not None:
            gain = effects[layers, ops] - effects[every, here][:, layers]
            leads = preference.any(1, keepdims=True)
            among_equals = np.where(leads, _below_one(gain), among_equals)
        chosen = (preference + among_equals).argmax(1)
        architectures[outside, layers[chosen]] = ops[chosen]
        distance[outside] = after[np.arange(len(outside)), chosen]
    return architectures


def _after(
    architectures: np.ndarray, layers: np.ndarray, ops: np.ndarray, problem: Problem
) -> np.ndarray:
    """float64[N, C]: the violation after each of C changes of a single op."""
    costs, every, after = problem.costs, np.arange(architectures.shape[1]), {}
    for name, now in costs.of(architectures).items():
        table = costs.tables[name]
        change = table[layers, ops] - table[every, architectures][:, layers]
        after[name] = now[:, None] + change
    return problem.budget.violation(after)


def _below_one(values: np.ndarray) -> np.ndarray:
    """The values scaled into 0 <= v < 1, in the same order."""
    span = float(np.ptp(values)) or 1.0
    return (values - values.min()) / (1.001 * span)
