"""How many networks a budget allows."""

import numpy as np

from difnas_jax.search.problem import Problem
from difnas_jax.spaces.chain import SequentialSpace
from difnas_jax.spaces.costs import STEPS_PER_UNIT

# Architectures that are listed one by one, and different costs that are told apart.
LISTED, COSTS = 600_000, 10_000_000


def networks_within(problem: Problem) -> int | None:
    """The exact number of different networks within the budget.

    Architectures that are the same network count once, see `SearchSpace.canonical`.

    Args:
      problem: a space, its costs and a budget.

    Returns:
      The number; None where it would take more than a second: of a large space that
      is a cell or has bounds on several costs.
    """
    space = problem.space
    found = _counted(problem) if isinstance(space, SequentialSpace) else None
    return _listed(problem) if found is None and space.size <= LISTED else found


def _listed(problem: Problem) -> int:
    grid = np.meshgrid(*(layer.ops for layer in problem.space.layers), indexing="ij")
    every = np.stack([ops.ravel() for ops in grid], axis=1)  # [N, L]
    inside = every[problem.allows(every)]
    return len(np.unique(problem.space.canonical(inside), axis=0))


def _counted(problem: Problem) -> int | None:
    """The count of a chain, layer after layer.

    Partial networks of equal costs are counted together, in an array whose dimensions
    are the bounded costs. Of a run in which the position of the identities does not
    matter, those count that have them at its end.
    """
    space = problem.space
    costs, low, high = _bounded(problem)
    if np.prod(high + 1, dtype=object) > COSTS:
        return None
    # Python's integers where 64 bits could overflow.
    kind = np.int64 if space.size < 2**63 else object
    counts = np.zeros(tuple(high + 1), kind)
    counts.flat[0] = 1
    ended = np.zeros_like(counts)  # runs that end with identities from here on
    starts = {run.start for run in space.identity_runs}
    inside = {i for run in space.identity_runs for i in range(run.start, run.stop)}
    for index, layer in enumerate(space.layers):
        if index in starts or index not in inside:
            counts, ended = counts + ended, np.zeros_like(counts)
        before, after = counts, np.zeros_like(counts)
        for op in layer.ops:
            shift = costs[:, index, op]
            if index in inside and op == space.identity:
                ended = _shifted(before + ended, shift)
            else:
                after += _shifted(before, shift)
        counts = after
    return int((counts + ended)[tuple(slice(least, None) for least in low)].sum())


def _bounded(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The costs whose bounds can be missed, each in its largest unit.

    Returns:
      int64[Q, L, O], of each layer above its least; int64[Q] bounds, inclusive. The
      first of them is 0 everywhere, so that there is one.
    """
    allowed = problem.space.allowed
    tables, lows, highs = [np.zeros(allowed.shape, np.int64)], [0], [0]
    for name, (lowest, highest) in problem.reach.items():
        low, high = problem.budget.bounds.get(name, (None, None))
        low, high = max(low or 0, lowest), highest if high is None else high
        if low > lowest or high < highest:
            table, steps = problem.costs.tables[name], STEPS_PER_UNIT.get(name, 1)
            least = table.min(axis=1, where=allowed, initial=table.max())
            above = np.where(allowed, steps * (table - least[:, None]), 0)
            above = above.astype(np.int64)
            unit = int(np.gcd.reduce(above, axis=None)) or 1
            tables.append(above // unit)
            lows.append(int(-(-steps * (low - lowest) // unit)))
            highs.append(int(steps * (min(high, highest) - lowest) // unit))
    return np.stack(tables), np.array(lows), np.array(highs)


def _shifted(counts: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The counts at costs higher by `shift`; what is beyond the end is lost."""
    moved = np.zeros_like(counts)
    ends = np.maximum(np.array(counts.shape, np.int64) - shift, 0)
    source = tuple(slice(0, end) for end in ends)
    target = tuple(slice(start, None) for start in shift)
    if ends.all():
        moved[target] = counts[source]
    return moved
