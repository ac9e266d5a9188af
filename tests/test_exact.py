"""The exact solver against brute force and against integer programming."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp
from search_problems import (
    CAP,
    MBV2,
    MBV2_COSTS,
    additive,
    every_architecture,
    feasible,
    numbers,
    problems,
    quick,
    random_costs,
    random_table,
    rows,
    small_space,
)

from difnas_jax.errors import InputError
from difnas_jax.search import exact
from difnas_jax.search.additive import sum_along_paths
from difnas_jax.search.algorithms import Search
from difnas_jax.search.candidates import non_dominated
from difnas_jax.search.exact import Exact, exact_front, optimum
from difnas_jax.search.problem import Budget, Problem
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import CostTable

NAN = float("nan")


def integer_programming(table: np.ndarray, budget: Budget) -> float:
    """Best additive score of `mbv2` within a budget, by SciPy."""
    layer, _ = np.nonzero(MBV2.allowed)
    one_op = layer == np.arange(MBV2.num_layers)[:, None]
    constraints = [LinearConstraint(one_op, 1, 1)]
    for name, cost in MBV2_COSTS.tables.items():
        low, high = budget.bounds.get(name, (None, None))
        fixed = MBV2_COSTS.fixed[name]
        low = -np.inf if low is None else low - fixed
        high = np.inf if high is None else high - fixed
        row = cost[MBV2.allowed] / 1e6
        constraints.append(LinearConstraint(row, low / 1e6, high / 1e6))
    solved = milp(
        -table[MBV2.allowed],
        integrality=1,
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"mip_rel_gap": 0.0},
    )
    assert solved.status == 0
    return -solved.fun


@quick
@given(problem=problems(), seed=st.integers(0, 100), tied=st.booleans())
def test_optimum_is_that_of_brute_force(
    problem: tuple[SearchSpace, CostTable, Budget], seed: int, tied: bool
) -> None:
    """The best 5 of all, for scores without ties and for scores full of them."""
    space, costs, budget = problem
    table = random_table(space, seed)
    table = np.round(table) if tied else table
    legal = feasible(space, costs, budget)
    if not len(legal):
        with pytest.raises(InputError, match="no architecture.*reaches"):
            optimum(Problem(space, costs, budget, table))
        return
    scores = np.sort(sum_along_paths(table, legal))[::-1]
    found = optimum(Problem(space, costs, budget, table), 5)
    np.testing.assert_allclose(found.scores, scores[:5], rtol=1e-12, atol=1e-12)
    assert rows(found.architectures) <= rows(legal)
    assert len(rows(found.architectures)) == len(found) == min(5, len(legal))


@quick
@given(problem=problems(), seed=st.integers(0, 100), best=st.integers(1, 4))
def test_front_has_the_best_of_every_budget(
    problem: tuple[SearchSpace, CostTable, Budget], seed: int, best: int
) -> None:
    space, costs, _ = problem
    table = random_table(space, seed)
    everything = every_architecture(space)
    macs = costs.of(everything)["macs"]
    scores = sum_along_paths(table, everything)
    front = exact_front(table, costs, best)
    assert len(rows(front.architectures)) == len(front)
    assert (np.diff(front.columns["macs"]) >= 0).all()
    for bound in np.unique(macs):
        expected = np.sort(scores[macs <= bound])[::-1][:best]
        within = np.sort(front.scores[front.columns["macs"] <= bound])[::-1][:best]
        np.testing.assert_allclose(within, expected, rtol=1e-12, atol=1e-12)
    if best == 1:
        assert non_dominated(front.scores, front.columns["macs"]).all()


@pytest.mark.parametrize(
    "budget",
    [
        CAP,
        Budget.of(min_macs=400_000_000, max_macs=402_000_000),
        Budget.of(max_macs=475_000_000, max_params=4_900_000),
        Budget({"macs": (400_000_000, 410_000_000), "params": (4_400_000, 4_500_000)}),
        Budget.of(min_macs=600_000_000, min_params=6_000_000),
    ],
    ids=["MACs", "window", "both", "both windows", "minima"],
)
@pytest.mark.parametrize("kind", ["normal", "ratio", "argmax"])
def test_optimum_is_that_of_integer_programming(budget: Budget, kind: str) -> None:
    for seed in range(2):
        table = random_table(MBV2, seed)
        if kind == "ratio":
            table = 1 + 0.01 * table
        if kind == "argmax":
            winners = np.nanargmax(table, axis=1)
            table = np.where(np.isnan(table), NAN, np.eye(MBV2.num_ops)[winners])
        problem = Problem(MBV2, MBV2_COSTS, budget, table)
        found = optimum(problem, 20)
        expected = integer_programming(table, budget)
        np.testing.assert_allclose(found.scores[0], expected, rtol=1e-6)
        assert len(rows(found.architectures)) == 20
        assert (problem.violation(found.architectures) == 0).all()


def test_front_and_optimum_agree_on_mbv2() -> None:
    """Two algorithms, the 10 best at once."""
    for seed in range(3):
        table = random_table(MBV2, seed)
        front = exact_front(table, MBV2_COSTS, 10)
        within = front[front.columns["macs"] <= 475_000_000].best_first()[:10]
        found = optimum(Problem(MBV2, MBV2_COSTS, CAP, table), 10)
        np.testing.assert_array_equal(found.architectures, within.architectures)
        np.testing.assert_array_equal(found.scores, within.scores)


def test_front_is_no_longer_than_there_are_sums_of_macs() -> None:
    """Also with the worst table: one that scores the MACs themselves."""
    table = np.where(MBV2.allowed, MBV2_COSTS.tables["macs"] / 1e6, NAN)
    unit = np.gcd.reduce(MBV2_COSTS.tables["macs"][MBV2.allowed])
    span = MBV2_COSTS.tables["macs"].max(1).sum() - np.nanmin(table, axis=1).sum() * 1e6
    assert 100_000 < len(exact_front(table, MBV2_COSTS)) <= span / unit + 1
    assert len(exact_front(random_table(MBV2, 0), MBV2_COSTS)) < 1000


@pytest.mark.parametrize("budget", [Budget.of(), CAP, Budget.of(min_macs=500_000_000)])
def test_equal_scores_are_no_trouble(budget: Budget) -> None:
    """An untrained indicator is 1 everywhere."""
    table = np.where(MBV2.allowed, 1.0, NAN)
    found = optimum(Problem(MBV2, MBV2_COSTS, budget, table), 50)
    assert len(rows(found.architectures)) == 50
    assert (found.scores == 21).all()


@pytest.mark.parametrize("bad", [NAN, np.inf, -np.inf])
def test_op_without_finite_score_is_never_taken(bad: float) -> None:
    table = random_table(MBV2, 0)
    table[3, 2] = bad
    problem = Problem(MBV2, MBV2_COSTS, CAP, table)
    for found in (optimum(problem, 20), exact_front(table, MBV2_COSTS)):
        assert (found.architectures[:, 3] != 2).all()
        assert np.isfinite(found.scores).all()


def test_layer_without_finite_score_is_an_error() -> None:
    table = random_table(MBV2, 0)
    table[3] = NAN
    with pytest.raises(InputError, match="search: .* op of layer 3, got none"):
        optimum(Problem(MBV2, MBV2_COSTS, CAP, table))
    assert not len(exact_front(table, MBV2_COSTS))


def test_too_many_states_give_fewer_networks_or_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What comes out is still proven."""
    problem = Problem(MBV2, MBV2_COSTS, CAP, random_table(MBV2, 1))
    every = optimum(problem, 50)
    monkeypatch.setattr(exact, "STATES", 100)
    some = optimum(problem, 50)
    assert 1 <= len(some) < 50
    np.testing.assert_array_equal(some.scores, every.scores[: len(some)])
    monkeypatch.setattr(exact, "STATES", 2)
    with pytest.raises(InputError, match="at most 2 .*max_macs = 475000000") as error:
        optimum(problem)
    assert "\n" not in str(error.value)


def test_exact_lists_the_best_and_the_front() -> None:
    space = small_space((0, 1, 2), (3, 4, 5), (1, 4, 5, 6), (0, 6))
    costs, table = random_costs(space, 0), random_table(space, 0)
    problem = Problem(space, costs, Budget.of(max_macs=100), table)
    search = Search(Exact(problem, numbers(), 0))
    ranked = search.run(additive(table))
    front = exact_front(table, costs)
    inside = front[front.columns["macs"] <= 100]
    assert len(search.history) == 1
    assert rows(inside.architectures) <= rows(ranked.architectures)
    keep = non_dominated(ranked.scores, ranked.columns["macs"])
    assert set(ranked.columns["macs"][keep]) == set(inside.columns["macs"])
    legal = feasible(space, costs, problem.budget)
    best = np.sort(sum_along_paths(table, legal))[::-1][:50]
    np.testing.assert_allclose(ranked.scores[: len(best)], best, rtol=1e-12)


def test_exact_needs_a_table() -> None:
    problem = Problem(MBV2, MBV2_COSTS, CAP)
    with pytest.raises(InputError, match="expected an additive score.*use another"):
        Exact(problem, numbers(), 0).ask()
