"""A column more: costs and scores are known by their names alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_problems import (
    additive,
    assert_same,
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

from difnas_jax.config import default
from difnas_jax.config.build import build_budget, limits
from difnas_jax.errors import InputError
from difnas_jax.runtime import artifacts
from difnas_jax.search.additive import sum_along_paths
from difnas_jax.search.algorithms import ALGORITHMS, Search
from difnas_jax.search.exact import optimum
from difnas_jax.search.nsga2 import NSGA2, objective_values, ranks
from difnas_jax.search.problem import Budget, Problem
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import CostTable
from difnas_jax.stages.search import check_algorithms

SPACE = small_space((0, 1, 2), (3, 4, 5), (1, 4, 5, 6), (0, 6), (0, 1, 2, 3))
EVERY = every_architecture(SPACE)


def with_latency(costs: CostTable, seed: int) -> CostTable:
    """The costs, and a third one that nothing else knows."""
    shape = next(iter(costs.tables.values())).shape
    latency = np.random.default_rng(seed).integers(0, 50, shape)
    tables = {**costs.tables, "latency": latency}
    return CostTable(tables, {**costs.fixed, "latency": 11})


COSTS = with_latency(random_costs(SPACE, 0), seed=1)


def capped(share: float) -> Budget:
    """At most the latency that a share of all architectures has."""
    latency = int(np.quantile(COSTS.of(EVERY)["latency"], share))
    return Budget.of(max_latency=latency)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_keeps_a_bound_on_a_third_cost(name: str) -> None:
    table, budget = random_table(SPACE, 0), capped(0.2)
    problem = Problem(SPACE, COSTS, budget, table)
    search = Search(ALGORITHMS[name](problem, numbers(generations=3), 0))
    found = search.run(additive(table))
    assert list(found.columns) == ["score", "macs", "params", "latency"]
    for column, cost in COSTS.of(found.architectures).items():
        np.testing.assert_array_equal(found.columns[column], cost)
    highest = budget.bounds["latency"][1]
    assert highest is not None and (found.columns["latency"] <= highest).all()
    assert search.history[-1]["best_latency"] == found.columns["latency"][0]


@quick
@given(problem=problems(), seed=st.integers(0, 100), bounds=st.integers(1, 3))
def test_optimum_under_three_bounds_is_that_of_brute_force(
    problem: tuple[SearchSpace, CostTable, Budget], seed: int, bounds: int
) -> None:
    space, costs, budget = problem
    costs, table = with_latency(costs, seed), random_table(space, seed)
    latency = np.sort(costs.of(every_architecture(space))["latency"])
    limit = int(latency[len(latency) // 2])
    kept = dict(list(budget.bounds.items())[: bounds - 1])
    budget = Budget({**kept, "latency": (None, limit)})
    legal = feasible(space, costs, budget)
    if not len(legal):
        with pytest.raises(InputError, match="no architecture.*max_latency"):
            optimum(Problem(space, costs, budget, table))
        return
    found = optimum(Problem(space, costs, budget, table), 5)
    expected = np.sort(sum_along_paths(table, legal))[::-1][:5]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-12, atol=1e-12)
    assert rows(found.architectures) <= rows(legal)


def test_a_third_cost_reaches_the_file_and_back(tmp_path: Path) -> None:
    table = random_table(SPACE, 0)
    problem = Problem(SPACE, COSTS, Budget({}), table)
    path = tmp_path / "candidates.csv"
    found = problem.candidates(EVERY[:9], additive(table)(EVERY[:9]))
    artifacts.save_candidates(path, found)
    head = path.read_text().splitlines()[0]
    assert head == "rank,score,macs,params,latency,architecture"
    assert_same(artifacts.load_candidates(path), found)


def test_a_bound_on_what_is_no_cost_is_refused() -> None:
    with pytest.raises(InputError, match="search.max_energy: .*macs, params, latency"):
        Problem(SPACE, COSTS, Budget.of(max_energy=3))


@pytest.mark.parametrize("name", ["evolution", "random", "nsga2"])
def test_all_columns_of_a_scorer_are_kept_and_saved(name: str) -> None:
    table = random_table(SPACE, 0)

    def score(paths: np.ndarray) -> dict[str, np.ndarray]:
        return {**additive(table)(paths), "proxy": paths.sum(1).astype(float)}

    problem = Problem(SPACE, COSTS, Budget({}))
    settings = numbers(generations=3, objectives=("proxy", "score", "latency"))
    search = Search(ALGORITHMS[name](problem, settings, 0))
    found = search.run(score)
    proxy = found.architectures.sum(1)
    np.testing.assert_array_equal(found.columns["proxy"], proxy)
    again = Search(ALGORITHMS[name](problem, settings, 9))
    again.restore(json.loads(json.dumps(search.state())))
    assert_same(again.algorithm.evaluated, search.algorithm.evaluated)


@pytest.mark.parametrize("objectives", [("score", "params"), ("latency", "macs")])
def test_objectives_are_those_of_the_settings(objectives: tuple[str, ...]) -> None:
    """The first survivors of a complete search are the front of these columns alone."""
    table = random_table(SPACE, 0)
    problem = Problem(SPACE, COSTS, Budget({}), table)
    search = NSGA2(problem, numbers(objectives=objectives), 0)
    Search(search).run(additive(table))
    assert len(search.evaluated) == len(problem.distinct(EVERY))
    survivors, rank, _ = search.survivors()
    found = objective_values(survivors[rank == 0], objectives, COSTS.tables)
    sign = -1 if objectives[0] == "score" else 1
    columns = problem.candidates(EVERY, additive(table)(EVERY)).columns
    values = np.stack([sign * columns[objectives[0]], columns[objectives[1]]], axis=1)
    assert rows(found) == rows(values[ranks(values) == 0])


@pytest.mark.parametrize("objectives", [("score", "energy"), ()])
def test_unknown_objectives_are_refused(objectives: tuple[str, ...]) -> None:
    config = default()
    config.search.objectives = objectives
    message = r"^search\.objectives: expected some of score, macs, params; got '"
    with pytest.raises(InputError, match=message):
        check_algorithms(config)


def test_a_bound_is_two_fields_of_the_config() -> None:
    config = default()
    with config.unlocked():
        config.search.update(min_latency=0, max_latency=7)
    config.search.min_params = 5
    assert limits(config)["max_latency"] == 7
    budget = build_budget(config)
    assert budget.bounded == {"latency", "params"}
    assert budget.bounds["latency"] == (None, 7)
    assert budget.bounds["params"] == (5, None)
    assert dataclasses.asdict(budget)["bounds"]["macs"] == (None, None)
