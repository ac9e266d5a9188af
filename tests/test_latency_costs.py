"""Latency as a cost: its table, and searches under a bound on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_problems import (
    additive,
    every_architecture,
    evolve,
    feasible,
    numbers,
    quick,
    random_table,
    rows,
    small_space,
)

from difnas_jax.deployment import latency_fit
from difnas_jax.errors import InputError
from difnas_jax.runtime.latency_table import Correction, LatencyTable
from difnas_jax.search import counting
from difnas_jax.search.additive import sum_along_paths
from difnas_jax.search.algorithms import ALGORITHMS, Search
from difnas_jax.search.candidates import non_dominated
from difnas_jax.search.exact import exact_front, optimum
from difnas_jax.search.problem import Budget, Problem
from difnas_jax.spaces.costs import LATENCY, MACS, CostTable, cost_table, in_words
from difnas_jax.spaces.image import ImageSpace

ROOT = Path(__file__).parents[1]
SMALL = f"--config={ROOT / 'benchmarks' / 'kills' / 'small_run.py'}"
# A run of equal layers with an identity that may move, and others.
SPACE: Any = small_space((0, 1, 2), (1, 3, 6), (1, 3, 6), (0, 4, 5, 6))


def table_of(space: ImageSpace, seed: int = 0, scale: float = 1.0) -> LatencyTable:
    """A table of random times, the same in equal layers; an identity takes none."""
    rng = np.random.default_rng(seed)
    drawn = {}
    for layer in dict.fromkeys(space.layers):
        times = {space.ops[op].name: scale * rng.random() for op in layer.ops}
        times |= dict.fromkeys(times.keys() & {"identity"}, 0.0)
        drawn[layer] = {
            name: {"blocks": int(ms > 0), "low": ms, "ms": ms, "high": ms}
            for name, ms in times.items()
        }
    layers = [drawn[layer] for layer in space.layers]
    facts = {
        "batch": 1,
        "dtype": "float32",
        "processor": "abacus",
        "provenance": {"device": "1 x cpu"},
        "held_out": latency_fit.agreement([{"predicted_ms": 1.02, "ms": 1.0}]),
    }
    correction = Correction(scale * 0.3, 1.25, scale * 0.01)
    return LatencyTable(space, layers, correction, facts)


def costs_of(seed: int = 0) -> CostTable:
    return table_of(SPACE, seed).costs(SPACE)


bounds = st.tuples(st.integers(0, 100), st.floats(0, 1), st.floats(0, 1), st.booleans())


def drawn_budget(costs: CostTable, ends: tuple[float, float], macs: bool) -> Budget:
    """Bounds on latency that are shares of its range, and perhaps one on MACs."""
    every = costs.of(every_architecture(SPACE))
    low, high = np.quantile(every[LATENCY], sorted(ends))
    most = int(np.median(every[MACS])) if macs else None
    return Budget({LATENCY: (float(low), float(high)), MACS: (None, most)})


@quick
@given(drawn=bounds)
def test_the_optimum_under_a_bound_is_that_of_brute_force(drawn) -> None:
    seed, *ends, macs = drawn
    costs, table = costs_of(seed), random_table(SPACE, seed)
    problem = Problem(
        SPACE, costs, drawn_budget(costs, (ends[0], ends[1]), macs), table
    )
    legal = feasible(SPACE, costs, problem.budget)
    if not len(legal):
        with pytest.raises(InputError, match="no architecture.*latency_ms"):
            optimum(problem)
        return
    scores = np.sort(sum_along_paths(table, legal))[::-1][:5]
    found = optimum(problem, 5)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-12)
    assert rows(found.architectures) <= rows(legal)


@quick
@given(drawn=bounds)
def test_networks_under_a_bound_are_counted(drawn) -> None:
    seed, *ends, _ = drawn
    costs = costs_of(seed)
    problem = Problem(SPACE, costs, drawn_budget(costs, (ends[0], ends[1]), False))
    assert counting._counted(problem) == counting._listed(problem)


def test_the_exact_front_is_that_of_all_networks() -> None:
    costs, table = costs_of(), random_table(SPACE, 0)
    front = exact_front(table, costs, column=LATENCY)
    every = every_architecture(SPACE)
    scores, ms = sum_along_paths(table, every), costs.of(every)[LATENCY]
    kept = non_dominated(scores, ms)
    np.testing.assert_array_equal(front.columns[LATENCY], np.sort(ms[kept]))
    assert rows(front.architectures) != rows(exact_front(table, costs).architectures)


def test_fronts_trade_what_is_bounded_and_else_latency() -> None:
    counted, measured = cost_table(SPACE), costs_of()
    for costs, limits, expected in (
        (counted, {}, MACS),
        (counted, {"max_params": 9000}, MACS),
        (measured, {}, LATENCY),
        (measured, {"max_macs": 10**9}, MACS),
        (measured, {"max_macs": 10**9, "max_latency_ms": 9.0}, LATENCY),
    ):
        assert Problem(SPACE, costs, Budget.of(**limits)).traded == expected


@pytest.mark.parametrize("name", ["evolution", "random", "nsga2", "exact", "pruning"])
def test_searches_keep_to_a_bound(name: str) -> None:
    costs, table = costs_of(), random_table(SPACE, 1)
    middle = float(np.median(costs.of(every_architecture(SPACE))[LATENCY]))
    problem = Problem(SPACE, costs, Budget.of(max_latency_ms=middle), table)
    settings = numbers(generations=3, objectives=("score", LATENCY))
    search = Search(ALGORITHMS[name](problem, settings, 0))
    ms = search.run(additive(table)).columns[LATENCY]
    assert len(ms) and (ms <= middle).all()


def test_a_narrow_bound_is_repaired_into_the_budget() -> None:
    costs, table = costs_of(), random_table(SPACE, 1)
    every = np.sort(costs.of(every_architecture(SPACE))[LATENCY])
    budget = Budget.of(max_latency_ms=float(every[3]))
    found, _ = evolve(SPACE, costs, budget, additive(table))
    assert 1 <= len(found) <= 4


def test_sums_are_exact_in_any_order(rng: np.random.Generator) -> None:
    for scale in (1e-3, 1.0, 1e4):
        costs = table_of(SPACE, 3, scale).costs(SPACE)
        parts = [*costs.tables[LATENCY][SPACE.allowed], costs.fixed[LATENCY]]
        sums = {float(np.sum(rng.permutation(parts))) for _ in range(50)}
        assert len(sums) == 1


def test_costs_are_those_of_the_table() -> None:
    table = table_of(SPACE)
    costs = table.costs(SPACE)
    for layer, op in np.argwhere(SPACE.allowed):
        row = table.layers[layer][SPACE.ops[op].name]
        ms = 1.25 * row["ms"] + 0.01 * row["blocks"]
        assert costs.tables[LATENCY][layer, op] == pytest.approx(ms, abs=1e-4)
    assert costs.fixed[LATENCY] == pytest.approx(0.3, abs=1e-4)
    counted = cost_table(SPACE)
    for name, tables in counted.tables.items():
        np.testing.assert_array_equal(costs.tables[name], tables)
    assert {type(cost) for cost in counted.of_one([0, 1, 1, 0]).values()} == {int}
    # Where identities may not be chosen they are not there; the others cost the same.
    fewer = SPACE.without_identity()
    kept = np.where(fewer.allowed, costs.tables[LATENCY], 0)
    np.testing.assert_array_equal(table.costs(fewer).tables[LATENCY], kept)


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"image_size": 32}, {"num_classes": 7}, {"head_channels": 64}],
)
def test_a_table_of_another_space_is_refused(change) -> None:
    other = dataclasses.replace(SPACE, **change)
    with pytest.raises(InputError, match="^search.latency: expected a table of space"):
        table_of(SPACE).costs(other)


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    table = table_of(SPACE)
    table.save(tmp_path / "latency.json")
    assert LatencyTable.read(tmp_path / "latency.json") == table


def test_numbers_for_people() -> None:
    given_numbers: Any = 0, 1234567, np.int64(999), 0.123456, 1234.5, 12.0
    shown = list(map(in_words, given_numbers))
    assert shown == ["0", "1,234,567", "999", "0.123", "1,230", "12"]


@pytest.mark.parametrize("block_ms", [0.1, -0.1])
def test_the_fit_finds_all_three_numbers(block_ms: float) -> None:
    ms = np.where(SPACE.allowed, costs_of().tables[LATENCY] + 0.2, 0.0)
    blocks = SPACE.allowed & (np.arange(SPACE.num_ops) != SPACE.identity)
    ms, every = ms * blocks, every_architecture(SPACE)[::7]
    times = 0.25 + sum_along_paths(3 * ms + block_ms * blocks, every)
    found = latency_fit.fit(ms, blocks.astype(int), every, times)
    assert found == pytest.approx((0.25, 3, block_ms))


def test_no_network_and_no_op_takes_less_than_nothing() -> None:
    blocks = SPACE.allowed.astype(int)
    ms, every = costs_of().tables[LATENCY], every_architecture(SPACE)[::7]
    sums = sum_along_paths(ms, every)
    # Here every network has as many blocks, and the constant would be negative.
    found = latency_fit.fit(ms, blocks, every, 3 * sums - 0.5)
    assert found.fixed_ms == found.block_ms == 0 and 2 < found.factor < 3
    # Two networks tell nothing of three numbers.
    few = latency_fit.fit(ms, blocks, every[:1], sums[:1] + 0.5)
    assert few == pytest.approx((0.5, 1, 0))


def test_networks_to_fit_span_the_space_and_none_is_also_judged() -> None:
    ms = np.where(SPACE.allowed, costs_of().tables[LATENCY], 0)
    fitted, held_out = latency_fit.chosen_networks(SPACE, ms, seed=0)
    assert (len(fitted), len(held_out)) == (latency_fit.FITTED, latency_fit.HELD_OUT)
    every = [*fitted, *held_out]
    canonical = SPACE.canonical(np.array(every))
    assert len(np.unique(canonical, axis=0)) == len(every)
    sums = sum_along_paths(ms, np.array(fitted))
    assert (np.diff(sums) >= 0).all()
