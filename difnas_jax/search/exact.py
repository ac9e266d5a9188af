"""The exact optimum of an additive score under bounds on any costs.

A multiple-choice knapsack: one op per layer, the highest sum of scores, sums of costs
within the bounds. Prices on the bounded costs turn the bounds into part of the score
(Lagrangian relaxation): each layer then takes its op of the highest score minus price,
and the total of these is an upper bound on what any network within the budget scores.
A network whose score is within `gap` of the bound loses at most `gap` to it, all layers
together. So dynamic programming keeps the partial architectures that have lost no more
than `gap`; if enough networks within the budget come out with a score within `gap` of
the bound, the list is complete, else the gap grows. The prices decide how long it
takes, never the result.
"""

from typing import ClassVar

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.search.additive import sum_along_paths
from difnas_jax.search.base import Algorithm
from difnas_jax.search.candidates import SCORE, Candidates, undominated
from difnas_jax.search.problem import Problem
from difnas_jax.search.relaxation import Relaxation, rest_of
from difnas_jax.spaces.costs import MACS, CostTable

STATES = 300_000  # partial architectures that may be kept, some hundred MB
GROWTH = 1.5
FIRST_GAP = 1 / 64  # of the most that a single layer can lose


class Exact(Algorithm):
    """Computes the answer from the score table, in one generation.

    It asks for the `population` best networks within the budget and, where nothing but
    `Problem.traded` is bounded, for the exact Pareto front within the budget. A network
    that is several paths (see `SearchSpace.canonical`) counts by its best one.
    """

    needs_table: ClassVar[bool] = True
    evaluates: ClassVar[str] = (
        "the networks that it lists, the best ones and those of the exact front; it "
        "proves from the table of scores that none of the others is better"
    )

    @property
    def rounds(self) -> int:
        """One."""
        return 1

    def ask(self) -> np.ndarray:
        """The answer, int64[N, L]; no candidates the second time.

        Raises:
          InputError: no network within the budget, or a budget too narrow to solve.
        """
        if self._generation:
            return self.evaluated.architectures[:0]
        problem = self._problem
        found = _best_networks(problem, self._settings.population)
        if problem.budget.bounded <= {problem.traded}:
            front = exact_front(_table(problem), problem.costs, column=problem.traded)
            paths = front.architectures
            found = np.concatenate((found, paths[problem.violation(paths) == 0]))
        return found[problem.distinct(found)]


def _best_networks(problem: Problem, best: int) -> np.ndarray:
    """int64[N, L]: the best paths of the `best` networks; fewer if there are fewer."""
    count = best
    while True:
        paths = optimum(problem, count).architectures
        first = problem.distinct(paths)
        if len(first) >= best or len(paths) < count:
            return paths[first[:best]]
        count *= 2


def optimum(problem: Problem, best: int = 1) -> Candidates:
    """The best networks within the budget, proven.

    Args:
      problem: with a score table; ops whose score is not finite are excluded.
      best: how many.

    Returns:
      The `best` paths of the highest scores, best first, exact up to rounding of the
      sum (1e-12 of it). Fewer where the budget holds fewer, or where more than `STATES`
      partial architectures would have to be kept to prove the next one.

    Raises:
      InputError: no table, no network within the budget, or more than `STATES` partial
        architectures before the first network within it is proven the best.
    """
    relaxation = Relaxation.of(problem, _table(problem))
    proven = problem.no_candidates()
    gap = FIRST_GAP * float(relaxation.loss.max(initial=0, where=relaxation.known))
    complete = exhausted = False
    while len(proven) < best and not exhausted:
        architectures, complete = _within(relaxation, gap, best)
        scores = sum_along_paths(_table(problem), architectures)
        found = problem.candidates(architectures, {SCORE: scores})
        if not complete:
            attained = found[scores >= relaxation.bound - relaxation.slack]
            proven = attained if len(attained) > len(proven) else proven
            break
        exhausted = gap >= relaxation.largest_loss
        proven = found[(scores >= relaxation.bound - gap) | exhausted]
        gap *= GROWTH
    if len(proven):
        return proven.best_first()[:best]
    if complete:
        raise problem.infeasible()
    if best > 1:
        return optimum(problem)
    raise InputError(
        f"search: 'exact' keeps at most {STATES} partial architectures, too few for "
        f"{problem.budget_text()}; widen the budget, or use another search.algorithm "
        "and search.references without exact"
    )


def _table(problem: Problem) -> np.ndarray:
    if problem.table is None:
        raise InputError(
            "search.algorithm: 'exact' expected an additive score, got one without a "
            "table; use another algorithm"
        )
    return problem.table


def _within(relaxation: Relaxation, gap: float, best: int) -> tuple[np.ndarray, bool]:
    """The architectures within the budget that lose at most `gap`.

    Returns:
      int64[N, L], and whether these are all; where more than `STATES` partial
      architectures would have to be kept, those that have lost least.
    """
    known, scores, costs = relaxation.known, relaxation.scores, relaxation.costs
    rest = rest_of(costs, known)
    paths, spent = np.zeros((1, 0), np.int16), np.zeros((len(costs), 1), np.int64)
    sums, lost, complete = np.zeros(1), np.zeros(1), True
    for layer in range(len(scores)):
        ops = np.flatnonzero(known[layer])
        all_lost = (relaxation.loss[layer, ops, None] + lost).ravel()
        kept = np.flatnonzero(all_lost <= gap + relaxation.slack)
        index, partial = np.divmod(kept, len(lost))
        op = ops[index]
        after = spent[:, partial] + costs[:, layer, op]
        least, most = after + rest[:, :, layer + 1, None]
        inside = (least <= relaxation.high[:, None]) & (most >= relaxation.low[:, None])
        chosen = np.flatnonzero(inside.all(0))
        sums_after = sums[partial] + scores[layer, op]
        scored = after[:, chosen], sums_after[chosen]
        chosen = chosen[_useful(relaxation, *scored, best)]
        if len(chosen) > STATES:
            order = np.argsort(all_lost[kept[chosen]], kind="stable")
            chosen, complete = chosen[order[:STATES]], False
        paths = np.column_stack((paths[partial[chosen]], op[chosen].astype(np.int16)))
        spent, sums, lost = after[:, chosen], sums_after[chosen], all_lost[kept[chosen]]
    return paths.astype(np.int64), complete


def _useful(
    relaxation: Relaxation, costs: np.ndarray, scores: np.ndarray, best: int
) -> np.ndarray:
    """Indices of partial architectures that may become one of the `best`.

    Args:
      relaxation: says which bounds can be missed.
      costs: int64[Q, N], so far.
      scores: float64[N], so far.
      best: how many count.

    Returns:
      With a single bound, those that fewer than `best` beat without being farther from
      it; with several, the `best` of those with equal costs.
    """
    can_miss = relaxation.can_miss
    if can_miss.sum() == 1:
        ((side, cost),) = np.argwhere(can_miss)
        return undominated(scores, costs[cost] * (-1, 1)[side], best)
    order = np.lexsort((-scores, *costs))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(costs[:, order], axis=1) != 0).any(0)
    index = np.arange(len(order))
    rank = index - np.maximum.accumulate(np.where(new, index, 0))
    return order[rank < best]


def exact_front(
    table: np.ndarray, costs: CostTable, best: int = 1, column: str = MACS
) -> Candidates:
    """The whole trade-off between an additive score and a cost, a knapsack problem.

    Layer after layer, of all partial architectures those stay that fewer than `best`
    others beat in score without costing more. That is exact. Partial architectures
    of the same cost compete, so at most `best` times the number of different sums of
    costs stay: (largest - smallest) / (greatest common divisor) + 1, which is 205,838
    for the MACs of `mbv2` at 224 pixels, whatever the table. With real-valued scores it
    is a few hundred; scores that nearly follow the cost come near to the bound.

    Args:
      table: float64[L, O] score table; ops that are not finite are excluded.
      costs: the cost table of the space.
      best: how many networks to keep for every budget.
      column: name of the cost.

    Returns:
      By rising cost. For every bound on the cost it has the `best` networks of the
      highest score within it, up to rounding of the sum; with `best` = 1 nothing else.
      Empty where a layer has no finite op.
    """
    paths = np.zeros((1, 0), np.int16)
    cost = costs.tables[column]
    scores, spent = np.zeros(1), np.zeros(1, cost.dtype)
    for layer, row in enumerate(table):
        ops = np.flatnonzero(np.isfinite(row))
        all_scores = (row[ops, None] + scores).ravel()
        all_spent = (cost[layer, ops, None] + spent).ravel()
        kept = undominated(all_scores, all_spent, best)
        op, partial = np.divmod(kept, len(scores))
        paths = np.column_stack((paths[partial], ops[op].astype(np.int16)))
        scores, spent = all_scores[kept], all_spent[kept]
    architectures = paths[np.argsort(spent, kind="stable")].astype(np.int64)
    scores = sum_along_paths(table, architectures)
    return Candidates(architectures, {SCORE: scores, **costs.of(architectures)})
