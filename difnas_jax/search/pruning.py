"""Pruning a supernet by its scores without one op at a time (TE-NAS)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from difnas_jax.search.base import Algorithm, Settings
from difnas_jax.search.population import TRIES, repair
from difnas_jax.search.problem import Problem, reachable
from difnas_jax.spaces.cell import ZERO

DECIMALS = 3  # of a relative change, for each repeat
DIGITS = 3  # of its mean over repeats
BROKEN = 1e6  # the change where a term is finite only with, or only without an op


class Pruning(Algorithm):
    """Removes the least important op of every layer, until each has one.

    An op is as important as the terms of the score are worse without it: the relative
    change of each term ranks all ops of the supernet, and the ranks are added.

    Source: TE-NAS, arXiv 2102.11535, algorithm 1, with the rounding and the shared
    ranks of its code.

    Differs from it: an op stays where the rest could not reach the budget without it,
    which TE-NAS does not know; where the last network misses a narrow budget all the
    same, it is moved into it. Of equally unimportant ops of a layer the first goes.

    Attributes:
      left: bool[L, O], the ops that are not pruned. A `none` is not among them, except
        where a layer has nothing else.
    """

    needs_subsets: ClassVar[bool] = True
    evaluates: ClassVar[str] = (
        "sets of ops that were scored as supernets, and the network that is left"
    )

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        """Start with the whole supernet; see `Algorithm`."""
        super().__init__(problem, settings, seed)
        allowed = problem.space.allowed
        passing = allowed & np.array([op.kind != ZERO for op in problem.space.ops])
        self.left = np.where(passing.any(1, keepdims=True), passing, allowed)
        self._evaluations = 0

    @property
    def rounds(self) -> int:
        """One for each op too many of the largest layer, and one for the answer."""
        return int(self._problem.space.allowed.sum(1).max())

    @property
    def evaluations(self) -> int:
        """Sets of ops that were scored."""
        return self._evaluations

    def ask(self) -> np.ndarray:
        """The sets of ops to be scored next.

        Returns:
          bool[N, L, O]: what is left, then the same without each op that can go; the
          found network alone at the end; N = 0 after that.

        Raises:
          InputError: no network within the budget was found.
        """
        if len(self.evaluated):
            return np.zeros((0, *self.left.shape), bool)
        layers, ops = self._removable()
        subsets = np.tile(self.left, (1 + len(layers), 1, 1))
        subsets[1 + np.arange(len(layers)), layers, ops] = False
        return subsets if len(layers) else self._answer()[None]

    def _removable(self) -> tuple[np.ndarray, np.ndarray]:
        """Layer and op, int64[N] each, of all ops that have another beside them."""
        several = self.left.sum(1, keepdims=True) > 1
        layers, ops = np.nonzero(self.left & several)
        return layers, ops

    def _answer(self) -> np.ndarray:
        """bool[L, O]: the network that is left, moved into the budget if need be."""
        network, problem = self.left.argmax(1)[None], self._problem
        copies = repair(np.tile(network, (TRIES, 1)), problem, self._rng)
        legal = problem.legal(np.concatenate((network, copies)))
        if not len(legal):
            raise problem.infeasible()
        return np.arange(problem.space.num_ops) == legal[0][:, None]

    def tell(
        self, architectures: np.ndarray, columns: Mapping[str, np.ndarray]
    ) -> None:
        """Prune by the columns of subsets, or record those of the answer.

        Args:
          architectures: bool[N, L, O], as asked.
          columns: float64[N, R] by name, of R repeats; see `Algorithm.tell`.
        """
        self._evaluations += len(architectures)
        if len(architectures) == 1:
            network = architectures.argmax(2)  # [1, L]
            means = {name: column.mean(1) for name, column in columns.items()}
            return super().tell(network, means)
        self._prune(importance(self._problem.terms(columns)))
        self._generation += 1

    def _prune(self, ranks: np.ndarray) -> None:
        """Remove one op of each layer that has several, by the int64[N] of each."""
        layers, ops = self._removable()
        for layer in np.unique(layers):
            own = layers == layer
            order = ops[own][np.argsort(ranks[own], kind="stable")]
            fits = [op for op in order if self._reaches_budget_without(layer, op)]
            self.left[layer, [*fits, *order][0]] = False

    def _reaches_budget_without(self, layer: int, op: int) -> bool:
        """Whether each bound alone can still be met."""
        rest = self.left.copy()
        rest[layer, op] = False
        bounds = self._problem.budget.bounds
        for name, (least, most) in reachable(self._problem.costs, rest).items():
            low, high = bounds.get(name, (None, None))
            if least > (most if high is None else high) or most < (low or 0):
                return False
        return True

    def state(self) -> dict[str, Any]:
        """All that the rest of the search depends on; see `Algorithm.state`."""
        own = {"left": self.left.tolist(), "evaluations": self._evaluations}
        return {**super().state(), **own}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned; see `Algorithm.restore`."""
        super().restore(state)
        self.left = np.array(state["left"], bool).reshape(self.left.shape)
        self._evaluations = int(state["evaluations"])


def importance(terms: np.ndarray) -> np.ndarray:
    """How much worse the terms become without each op, by ranks.

    Args:
      terms: float64[1 + N, R, M] of M terms in R repeats, larger is better: first of
        the whole, then without each of N ops.

    Returns:
      int64[N]: the sum of the M ranks of the relative changes, equal ones sharing a
      rank; the smallest is the least important op.
    """
    known = np.isfinite(terms)
    values = np.where(known, terms, 0.0)
    scale = np.where(values[0] == 0, 1.0, np.abs(values[0]))
    change = (values[0] - values[1:]) / scale
    broken = BROKEN * (known[0].astype(float) - known[1:])  # without an op, or healed
    change = np.where(known[0] & known[1:], change, broken)
    means = change.round(DECIMALS).mean(1)  # [N, M]
    keys = np.array([[float(f"{value:.{DIGITS}g}") for value in row] for row in means])
    ranks = [np.unique(column, return_inverse=True)[1] for column in keys.T]
    return np.stack(ranks).sum(0)
