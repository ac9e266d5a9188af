"""Scores made of several columns by ranks: combiners, and searches by them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_problems import (
    assert_same,
    every_architecture,
    numbers,
    quick,
    random_costs,
    random_table,
    rows,
    small_space,
)

from difnas_jax.ranking.combiners import COMBINERS, rank_shares, rank_sum
from difnas_jax.search.additive import sum_along_paths
from difnas_jax.search.algorithms import ALGORITHMS, Search, compare_searches
from difnas_jax.search.candidates import SCORE
from difnas_jax.search.nsga2 import objective_values
from difnas_jax.search.problem import Budget, Problem, RelativeScore

SPACE = small_space((0, 1, 2), (3, 4, 5), (1, 4, 5, 6), (0, 6), (0, 1, 2, 3))
EVERY = every_architecture(SPACE)
COSTS = random_costs(SPACE, 0)
RELATIVE = RelativeScore({"up": 1, "down": -1}, rank_sum)
PROBLEM = Problem(SPACE, COSTS, Budget({}), relative=RELATIVE)
UP, DOWN = random_table(SPACE, 1), random_table(SPACE, 2)
EXPLORERS = [
    name
    for name, row in ALGORITHMS.items()
    if not row.needs_table and not row.needs_subsets
]


def measured(paths: np.ndarray) -> dict[str, np.ndarray]:
    """Two columns; the second is better if lower, and without value for some."""
    down = np.exp(sum_along_paths(DOWN, paths))
    return {
        "up": sum_along_paths(UP, paths),
        "down": np.where(paths[:, 0] == 2, np.nan, down),
    }


def searching(name: str, seed: int = 0) -> Search:
    children = numbers(population=10, parents=3, mutations=5, crossovers=5)
    settings = dataclasses.replace(children, generations=3, steps=30, tournament=4)
    return Search(ALGORITHMS[name](PROBLEM, settings, seed))


def test_a_network_has_no_score_only_where_no_column_is_finite() -> None:
    columns = {
        "up": np.array([1.0, np.nan, np.inf, 2.0]),
        "down": np.array([np.nan, np.nan, -np.inf, 3.0]),
    }
    assert np.isfinite(RELATIVE(columns)).tolist() == [True, False, False, True]


# Combiners.


@pytest.mark.parametrize("combine", COMBINERS.values(), ids=COMBINERS)
@quick
@given(seed=st.integers(0, 100), count=st.integers(1, 30), columns=st.integers(1, 4))
def test_combiners_look_at_the_order_alone(combine, seed, count, columns) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 10, (count, columns)).astype(float)
    score = combine(values)
    np.testing.assert_array_equal(combine(np.exp(values) * 7 - 3), score)
    order = rng.permutation(count)
    np.testing.assert_allclose(combine(values[order]), score[order], rtol=1e-12)
    # Who is at least as good in everything has at least the score; one best in
    # everything has the most there is.
    no_worse = (values[:, None] >= values).all(2)
    assert (score[:, None] >= score)[no_worse].all()
    best = combine(np.vstack((values, np.full(columns, 99.0))))
    assert best.argmax() == count and best[-1] == combine(np.ones((1, columns)))[0]


@pytest.mark.parametrize("combine", COMBINERS.values(), ids=COMBINERS)
def test_of_one_column_a_combiner_keeps_the_order(combine, rng) -> None:
    values = rng.normal(size=(50, 1))
    np.testing.assert_array_equal(np.argsort(combine(values)), np.argsort(values[:, 0]))


def test_equal_values_share_a_rank_and_what_is_not_finite_is_worst() -> None:
    values = np.array([[3.0, 1.0, np.nan, 3.0, np.inf, -np.inf, 2.0]]).T
    shares = np.array([6.5, 4, 2, 6.5, 2, 2, 5]) / 7
    np.testing.assert_allclose(rank_shares(values)[:, 0], shares)
    both = np.hstack((values, values))
    np.testing.assert_allclose(COMBINERS["rank_sum"](both), 2 * shares)
    expected = 2 * np.log(shares)
    np.testing.assert_allclose(COMBINERS["sum_log_rank"](both), expected)


# Searches by a relative score.


@pytest.mark.parametrize("name", EXPLORERS)
def test_the_score_is_that_among_all_evaluated(name: str) -> None:
    search = searching(name)
    search.run(measured)
    found = search.algorithm.evaluated
    terms = np.stack((found.columns["up"], -found.columns["down"]), axis=1)
    np.testing.assert_array_equal(found.scores, rank_sum(terms))
    expected = measured(found.architectures)
    for column, values in expected.items():
        np.testing.assert_array_equal(found.columns[column], values)
    row = search.history[-1]
    assert row["best"] == found.scores.max()
    assert {"median_up", "median_down", "best_up", "best_down"} <= row.keys()
    best = search.algorithm.evaluated.best_first().row(0)
    assert row["best_down"] == best["down"]


@pytest.mark.parametrize("name", EXPLORERS)
def test_a_search_by_ranks_continues_bit_for_bit(name: str) -> None:
    whole, first = searching(name), searching(name)
    expected = whole.run(measured)
    states: list[str] = [json.dumps(first.state())]
    first.run(measured, lambda row: states.append(json.dumps(first.state())))
    for state in states[:: max(1, len(states) // 4)]:
        again = searching(name, seed=9)
        again.restore(json.loads(state))
        assert_same(again.run(measured), expected)
        assert again.history == whole.history
        ends = [json.dumps(each.algorithm.state()) for each in (again, whole)]
        assert ends[0] == ends[1]


def test_no_finite_column_is_no_score() -> None:
    columns = {"up": np.array([np.nan, 1.0, np.inf]), "down": np.array([np.nan] * 3)}
    scored = PROBLEM.candidates(EVERY[:3], columns)
    assert np.isnan(scored.scores).tolist() == [True, False, True]
    assert list(scored.columns) == [SCORE, "up", "down", "macs", "params"]


def test_objectives_have_the_direction_of_their_column() -> None:
    assert PROBLEM.minimised == {"down", "macs", "params"}
    some = PROBLEM.candidates(EVERY[:50], measured(EVERY[:50]))
    names = ("up", "down", "macs")
    values = objective_values(some, names, PROBLEM.minimised)
    np.testing.assert_array_equal(values[:, 0], -some.columns["up"])
    down, known = some.columns["down"], np.isfinite(some.columns["down"])
    np.testing.assert_array_equal(values[known, 1], down[known])
    assert (values[~known, 1] >= down[known].max()).all()
    np.testing.assert_array_equal(values[:, 2], some.columns["macs"])


def test_a_column_may_be_a_cost_at_the_same_time() -> None:
    """More MACs may be the better score, and are the larger cost all the same."""
    relative = RelativeScore({"macs": 1}, rank_sum)
    problem = Problem(SPACE, COSTS, Budget({}), relative=relative)
    macs = COSTS.of(EVERY)["macs"]
    found = problem.candidates(EVERY, {"macs": macs.astype(float)})
    assert found.columns["macs"].dtype == np.int64
    assert found.best_first().columns["macs"][0] == macs.max()
    assert "macs" in problem.minimised


def test_several_searches_are_compared_on_one_scale() -> None:
    """A rank among few is worth less than the same rank among many."""
    searches = {name: searching(name) for name in ("regularized_evolution", "random")}
    found = {name: search.run(measured) for name, search in searches.items()}
    lines = compare_searches(searches, found, PROBLEM)
    names = [line["algorithm"] for line in lines]
    first, rest = names[0], ["random"]
    assert names == [first, f"{first}, best of all", *rest]
    firsts = [found[first], searches[first].algorithm.evaluated.best_first()]
    best = np.stack([each.architectures[0] for each in (*firsts, found["random"])])
    everything = np.concatenate(
        [each.architectures for each in (*firsts, found["random"])]
    )
    scored = PROBLEM.candidates(everything, measured(everything))
    for line, network in zip(lines, best, strict=True):
        own = (scored.architectures == network).all(1)
        assert line["score"] == scored.scores[own][0]
        assert line["regret"] is None


@pytest.mark.parametrize("name", EXPLORERS)
def test_a_search_by_ranks_finds_what_is_good_in_both(name: str) -> None:
    """Better than nine of ten networks of the whole space, by the score among all."""
    search = searching(name)
    best = search.run(measured).architectures[0]
    scores = PROBLEM.candidates(EVERY, measured(EVERY)).scores
    own = scores[(EVERY == best).all(1)][0]
    assert (scores < own).mean() > 0.9
    assert rows(best[None]) <= rows(EVERY)
