"""What every search algorithm keeps, and NSGA-II against pymoo."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_problems import (
    CAP,
    DIGITS,
    MBV2,
    MBV2_COSTS,
    additive,
    assert_same,
    every_architecture,
    feasible,
    numbers,
    problems,
    quick,
    random_table,
    rows,
    small_space,
)

from difnas_jax.errors import InputError
from difnas_jax.search.algorithms import ALGORITHMS, Search
from difnas_jax.search.base import Settings
from difnas_jax.search.candidates import Candidates, compare
from difnas_jax.search.nsga2 import NSGA2, crowding_distances, objective_values, ranks
from difnas_jax.search.problem import Budget, Problem
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.costs import CostTable, cost_table

# Those that go on drawing new networks until there are none.
EXPLORERS = ("evolution", "random", "nsga2", "regularized_evolution")
SMALL = numbers(generations=6, population=8, parents=3, mutations=4, crossovers=3)
SMALL = dataclasses.replace(SMALL, steps=12, tournament=3)
every_algorithm = pytest.mark.parametrize("name", ALGORITHMS)


def searching(
    name: str, problem: Problem, settings: Settings = SMALL, seed: int = 0
) -> Search:
    return Search(ALGORITHMS[name](problem, settings, seed))


@every_algorithm
@quick
@given(problem=problems(), seed=st.integers(0, 100))
def test_every_candidate_is_legal_and_new(
    name: str, problem: tuple[SearchSpace, CostTable, Budget], seed: int
) -> None:
    """Or the error says that there is none."""
    space, costs, budget = problem
    legal, table = rows(feasible(space, costs, budget)), random_table(space, seed)
    search = searching(name, Problem(space, costs, budget, table), seed=seed)
    if not legal:
        with pytest.raises(InputError, match="no architecture.*reaches"):
            search.run(additive(table))
        return
    search.run(additive(table))
    found = search.algorithm.evaluated.architectures
    assert len(rows(found)) == len(found) <= len(legal)
    assert rows(found) <= legal
    assert search.algorithm.evaluations == search.history[-1]["evaluated"]
    assert len(search.history) <= search.algorithm.rounds
    for other in search.algorithm.other_answers().values():
        assert rows(other.architectures) <= rows(found)
    assert not len(search.algorithm.ask())


@every_algorithm
def test_same_seed_same_search(name: str) -> None:
    table = random_table(MBV2, 0)
    problem = Problem(MBV2, MBV2_COSTS, CAP, table)
    first, second = (searching(name, problem, seed=1) for _ in range(2))
    for search in (first, second):
        search.run(additive(table))
    assert first.history == second.history
    assert first.algorithm.state() == second.algorithm.state()


class Killed(Exception):
    """The end of a session."""


@every_algorithm
def test_killed_after_any_generation_ends_alike(name: str) -> None:
    """Everything that the rest depends on is in the JSON."""
    table = random_table(MBV2, 0)
    problem = Problem(MBV2, MBV2_COSTS, CAP, table)
    whole = searching(name, problem)
    expected = whole.run(additive(table))
    for last in range(len(whole.history)):
        first, saved = searching(name, problem), []

        def on_generation(
            row: dict[str, Any],
            search: Search = first,
            saved: list[str] = saved,
            last: int = last,
        ) -> None:
            saved.append(json.dumps(search.state()))
            if row["generation"] == last:
                raise Killed

        with pytest.raises(Killed):
            first.run(additive(table), on_generation)
        again = searching(name, problem, seed=99)
        again.restore(json.loads(saved[-1]))
        found = again.run(additive(table))
        assert again.history == whole.history
        assert_same(found, expected)
        assert again.algorithm.state() == whole.algorithm.state()
        assert again.seconds > first.seconds > 0


@every_algorithm
@pytest.mark.parametrize("bad", [float("nan"), np.inf, -np.inf])
def test_score_that_is_not_finite_never_wins(name: str, bad: float) -> None:
    table = random_table(DIGITS, 0)
    table[3, 2] = bad
    problem = Problem(DIGITS, cost_table(DIGITS), Budget.of(), table)
    search = searching(name, problem)
    ranked = search.run(additive(table))
    assert (ranked.architectures[:, 3] != 2).all()
    assert np.isfinite(ranked.scores).all()
    restored = searching(name, problem)
    restored.restore(json.loads(json.dumps(search.state())))
    np.testing.assert_array_equal(
        restored.algorithm.evaluated.scores, search.algorithm.evaluated.scores
    )


@every_algorithm
def test_nothing_scored_is_an_error(name: str) -> None:
    table = random_table(DIGITS, 0)
    problem = Problem(DIGITS, cost_table(DIGITS), Budget.of(), table)
    with pytest.raises(InputError, match="search: .* got none .* what method.score "):
        searching(name, problem).run(
            lambda asked: {"score": np.full(asked.shape[: asked.ndim - 1], np.nan)}
        )


@every_algorithm
@pytest.mark.parametrize(
    "change",
    [
        {"architectures": [[0]]},
        {"architectures": [[99] * 21], "columns": {"score": [1.0]}},
        {"columns": {"score": [1.0] * 7}},
        {"columns": {}},
        {"columns": [1.0]},
        {"random": None},
        {"random": {}},
    ],
)
def test_damaged_state_is_refused(name: str, change: dict[str, Any]) -> None:
    table = random_table(MBV2, 0)
    problem = Problem(MBV2, MBV2_COSTS, CAP, table)
    algorithm = searching(name, problem).algorithm
    asked = algorithm.ask()
    algorithm.tell(asked, additive(table)(asked))
    with pytest.raises((InputError, KeyError, TypeError, ValueError)):
        algorithm.restore({**algorithm.state(), **change})


@every_algorithm
def test_nothing_beats_the_optimum_and_random_beats_little(name: str) -> None:
    table = random_table(MBV2, 5)
    problem = Problem(MBV2, MBV2_COSTS, CAP, table)
    found, counts, seconds = {}, {}, {}
    for other in {name, "random", "exact"}:
        search = searching(other, problem, numbers())
        found[other] = search.run(additive(table))
        counts[other] = search.algorithm.evaluations
        seconds[other] = search.seconds
    rows_by_name = {row["algorithm"]: row for row in compare(found, counts, seconds)}
    row = rows_by_name[name]
    assert row["regret"] >= 0 and row["share"] <= 1
    assert row["share"] >= rows_by_name["random"]["share"]
    assert rows_by_name["exact"]["regret"] == 0 and rows_by_name["exact"]["share"] == 1
    assert row["macs"] <= 475_000_000


def test_comparison_without_references() -> None:
    table = random_table(MBV2, 0)
    found = searching("evolution", Problem(MBV2, MBV2_COSTS, CAP)).run(additive(table))
    (row,) = compare({"evolution": found}, {"evolution": 7}, {"evolution": 1.25})
    assert row["regret"] is None and row["share"] is None
    assert (row["seconds"], row["evaluated"]) == (1.25, 7)
    assert row["score"] == found.scores[0]


@dataclasses.dataclass(frozen=True)
class Unordered(ChainSpace):
    """A space in which the order of the ops does not matter."""

    def canonical(self, architectures: np.ndarray) -> np.ndarray:
        return np.sort(architectures, axis=1)


@pytest.mark.parametrize("name", EXPLORERS)
def test_each_network_is_evaluated_once(name: str) -> None:
    """All 35 networks of 4 layers x 4 ops, each along one of its paths."""
    plain = small_space(*[(0, 1, 2, 3)] * 4)
    fields = {
        field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)
    }
    space = Unordered(**fields)
    cost = np.tile(np.arange(7), (4, 1))
    costs = CostTable({"macs": cost, "params": cost}, {"macs": 0, "params": 0})
    search = searching(name, Problem(space, costs, Budget.of()), numbers())
    search.run(lambda genomes: {"score": genomes.sum(1)})
    found = search.algorithm.evaluated.architectures
    expected = rows(space.canonical(every_architecture(plain)))
    assert len(expected) == len(found) == 35
    assert rows(space.canonical(found)) == expected


# NSGA-II.


def oracle(module: str) -> Any:
    """A module of pymoo, whose own warnings are not ours."""
    if importlib.util.find_spec("pymoo") is None:
        pytest.skip("needs pymoo: pip install -e '.[dev]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(module)


@quick
@given(seed=st.integers(0, 1000), count=st.integers(1, 40), levels=st.integers(2, 50))
def test_ranks_and_crowding_are_the_definitions(
    seed: int, count: int, levels: int
) -> None:
    goals = np.random.default_rng(seed).integers(0, levels, (count, 3)).astype(float)
    rank = ranks(goals)
    for front in range(rank.max() + 1):
        left = np.flatnonzero(rank >= front)
        for index in left:
            others = goals[left]
            beaten = (others <= goals[index]).all(1) & (others < goals[index]).any(1)
            assert beaten.any() == (rank[index] > front)
    distance = crowding_distances(goals)
    for column in goals.T:
        assert np.isinf(distance[column.argmin()])
        assert (np.isinf(distance) & (column == column.max())).any()


def test_ranks_and_crowding_are_those_of_pymoo() -> None:
    sorting = oracle("pymoo.util.nds.non_dominated_sorting").NonDominatedSorting()
    metric = oracle("pymoo.operators.survival.rank_and_crowding.metrics")
    rng = np.random.default_rng(0)
    for _ in range(5):
        goals = rng.normal(size=(120, 3))
        fronts = sorting.do(goals)
        rank = ranks(goals)
        assert [set(front) for front in fronts] == [
            set(np.flatnonzero(rank == index)) for index in range(rank.max() + 1)
        ]
        for front in (front for front in fronts if len(front) > 2):
            ours = crowding_distances(goals[front])
            theirs = metric.calc_crowding_distance(goals[front])
            inner = np.isfinite(ours)
            np.testing.assert_array_equal(inner, np.isfinite(theirs))
            # pymoo takes the mean over goals where Deb takes the sum.
            np.testing.assert_allclose(ours[inner], 3 * theirs[inner], rtol=1e-9)


def values_of(candidates: Candidates) -> np.ndarray:
    """The objectives of the default config."""
    return objective_values(candidates, numbers().objectives, ("macs", "params"))


def volume(goals: np.ndarray, worst: np.ndarray, best: np.ndarray) -> float:
    """Share of the box between best and worst that some row dominates, sampled."""
    points = np.random.default_rng(0).uniform(best, worst, (4000, 3))
    return (goals[:, None] <= points).all(2).any(0).mean()


def test_front_is_as_good_as_that_of_pymoo() -> None:
    """Dominated volume on `digits` after 1000 evaluations each, three seeds."""
    algorithm = oracle("pymoo.algorithms.moo.nsga2")
    crossover = oracle("pymoo.operators.crossover.ux").UX
    repair = oracle("pymoo.operators.repair.rounding").RoundingRepair
    mutation = oracle("pymoo.operators.mutation.pm").PM
    sampling = oracle("pymoo.operators.sampling.rnd").IntegerRandomSampling
    base, minimize = oracle("pymoo.core.problem"), oracle("pymoo.optimize").minimize
    costs, table = cost_table(DIGITS), random_table(DIGITS, 0)
    problem = Problem(DIGITS, costs, Budget.of())
    choices = [np.array(layer.ops) for layer in DIGITS.layers]

    def goals_of(genomes: np.ndarray) -> np.ndarray:
        return values_of(problem.candidates(genomes, additive(table)(genomes)))

    class Oracle(base.Problem):
        def __init__(self) -> None:
            upper = np.array([len(ops) - 1 for ops in choices])
            super().__init__(n_var=len(upper), n_obj=3, xl=0, xu=upper, vtype=int)

        def _evaluate(self, x: np.ndarray, out: dict, *args: Any, **kwargs: Any):
            columns = [ops[x[:, i]] for i, ops in enumerate(choices)]
            out["F"] = goals_of(np.stack(columns, axis=1))

    everything = goals_of(every_architecture(DIGITS))
    worst, best = everything.max(0), everything.min(0)
    ours, theirs = [], []
    for seed in range(3):
        search = Search(NSGA2(problem, numbers(), seed))
        search.run(additive(table))
        survivors, *_ = search.algorithm.survivors()  # type: ignore[attr-defined]
        ours.append(volume(values_of(survivors), worst, best))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = minimize(
                Oracle(),
                algorithm.NSGA2(
                    pop_size=50,
                    sampling=sampling(),
                    crossover=crossover(prob=1.0, repair=repair()),
                    mutation=mutation(prob=1.0, eta=3.0, vtype=float, repair=repair()),
                    eliminate_duplicates=True,
                ),
                ("n_gen", 20),
                seed=seed,
            )
        theirs.append(volume(result.F, worst, best))
    assert np.mean(ours) > 0.98 * np.mean(theirs)
