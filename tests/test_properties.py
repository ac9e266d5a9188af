"""Laws for any space, sampler, cost table and search, not for chosen examples."""

import collections
import dataclasses
import json

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_problems import (
    additive,
    assert_same,
    every_architecture,
    feasible,
    numbers,
    problems,
    quick,
    random_table,
    rows,
)

from difnas_jax import spaces
from difnas_jax.errors import InputError
from difnas_jax.search.algorithms import ALGORITHMS, Search
from difnas_jax.search.problem import Problem
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import cost_table
from difnas_jax.spaces.image import ImageLayer, ImageSpace
from difnas_jax.training.paths import SAMPLERS, stream

SIZES = st.sampled_from((4, 8, 15, 32))
# Every space compiles its sampler.
sparse = settings(quick, max_examples=4)
FEW = numbers(population=5, generations=4, parents=3, mutations=3, crossovers=2)


@st.composite
def registered(draw: st.DrawFn) -> SearchSpace:
    """Any registered space, for any classes, and images that halve twice evenly."""
    return spaces.build(
        draw(st.sampled_from(sorted(spaces.SPACES))),
        image_size=draw(SIZES.filter(lambda size: size % 4 == 0)),
        image_channels=draw(st.integers(1, 4)),
        num_classes=draw(st.integers(1, 12)),
    )


@st.composite
def chains(draw: st.DrawFn) -> ImageSpace:
    """A chain of random widths, strides and ops."""
    whole = spaces.mobilenet.digits(
        image_size=draw(SIZES), image_channels=1, num_classes=10
    )
    layers, width = [], 16
    for _ in range(draw(st.integers(1, 4))):
        out, stride = draw(st.sampled_from((8, 16))), draw(st.sampled_from((1, 2)))
        normal = out == width and stride == 1
        ops = st.sets(st.integers(0, 6 if normal else 5), min_size=1, max_size=5)
        layers.append(ImageLayer(width, out, stride, ops=tuple(sorted(draw(ops)))))
        width = out
    return dataclasses.replace(whole, name="chain", layers=tuple(layers))


anything = st.one_of(registered(), chains())


def drawn(space: SearchSpace, seed: int, count: int = 8) -> np.ndarray:
    """int64[N, L]: random members of a space."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(layer.ops, count) for layer in space.layers], axis=-1)


@quick
@given(space=anything, seed=st.integers(0, 100))
def test_architectures_survive_their_names(space: SearchSpace, seed: int) -> None:
    for row in drawn(space, seed, count=3):
        architecture = space.validate(row)
        assert architecture == tuple(row.tolist())
        assert space.validate(architecture) == architecture
        names = space.op_names(architecture)
        assert space.parse(names) == architecture
        cut = space.cut(architecture)
        assert cut.size == 1 and cut.validate(architecture) == architecture
        assert cut.allowed.sum() == space.num_layers


@quick
@given(space=anything, seed=st.integers(0, 100), data=st.data())
def test_what_a_space_does_not_have_is_refused(
    space: SearchSpace, seed: int, data: st.DataObject
) -> None:
    (row,) = drawn(space, seed, count=1).tolist()
    layer = data.draw(st.integers(0, space.num_layers - 1))
    others = set(range(-1, space.num_ops + 1)) - set(space.layers[layer].ops)
    row[layer] = data.draw(st.sampled_from(sorted(others)))
    for wrong in (row, row[:-1], [*row, 0]):
        with pytest.raises(InputError, match="architecture: "):
            space.validate(wrong)


@quick
@given(space=anything, seed=st.integers(0, 100))
def test_canonical_is_a_projection_that_keeps_the_costs(
    space: SearchSpace, seed: int
) -> None:
    architectures = drawn(space, seed)
    canonical = space.canonical(architectures)
    assert np.array_equal(space.canonical(canonical), canonical)
    for row in canonical:
        space.validate(row)
    costs = cost_table(space)
    for name, cost in costs.of(architectures).items():
        assert np.array_equal(costs.of(canonical)[name], cost)
    connected = space.is_connected(architectures)
    assert np.array_equal(space.is_connected(canonical), connected)


@quick
@given(space=anything, seed=st.integers(0, 100))
def test_costs_are_sums_over_layers(space: SearchSpace, seed: int) -> None:
    costs, architectures = cost_table(space), drawn(space, seed)
    found = costs.of(architectures)
    assert set(found) == set(costs.tables) == {"macs", "params"}
    for index, row in enumerate(architectures):
        chosen = list(enumerate(row))
        # The cut network costs the same.
        cut = cost_table(space.cut(space.validate(row))).of(row)
        for name, table in costs.tables.items():
            expected = costs.fixed[name] + sum(int(table[c]) for c in chosen)
            assert found[name][index] == cut[name] == expected


@quick
@given(space=chains(), channels=st.integers(1, 3))
def test_costs_rise_with_the_work(space: ImageSpace, channels: int) -> None:
    """Kernel, expansion, image and input channels: more of any costs no less."""
    costs = cost_table(space)
    for number, layer in enumerate(space.layers):
        for one in layer.ops:
            for other in layer.ops:
                a, b = space.ops[one], space.ops[other]
                if a.kernel <= b.kernel and a.expansion <= b.expansion:
                    for table in costs.tables.values():
                        assert table[number, one] <= table[number, other]
    larger = cost_table(dataclasses.replace(space, image_size=2 * space.image_size))
    assert (larger.tables["macs"] >= costs.tables["macs"]).all()
    assert np.array_equal(larger.tables["params"], costs.tables["params"])
    deeper = cost_table(dataclasses.replace(space, image_channels=1 + channels))
    assert deeper.fixed["macs"] > costs.fixed["macs"]


@sparse
@given(space=anything, seed=st.integers(0, 100), step=st.integers(0, 10_000))
def test_fair_updates_take_every_op(space: SearchSpace, seed: int, step: int) -> None:
    """As often as every other, as nearly as the number of paths allows."""
    paths = np.asarray(SAMPLERS["strict_fair"](space)(stream(seed, "paths", step)))
    count = max(len(layer.ops) for layer in space.layers)
    assert paths.shape == (count, space.num_layers)
    for layer, column in zip(space.layers, paths.T, strict=True):
        taken = collections.Counter(column.tolist())
        assert set(taken) == set(layer.ops)
        least, rest = divmod(count, len(layer.ops))
        assert sorted(taken.values()) == sorted(
            [least + 1] * rest + [least] * (len(layer.ops) - rest)
        )


@sparse
@given(space=chains(), name=st.sampled_from(sorted(SAMPLERS)))
def test_ops_are_expected_equally_often(space: SearchSpace, name: str) -> None:
    """Within 5 standard deviations of an independent draw."""
    draws = 400
    keys = jax.random.split(stream(0, name, 0), draws)
    paths = np.asarray(jax.vmap(SAMPLERS[name](space))(keys))
    paths = paths.reshape(-1, space.num_layers)  # [draws, K, L] -> [draws * K, L]
    for layer, column in zip(space.layers, paths.T, strict=True):
        assert set(column.tolist()) <= set(layer.ops)
        share = 1 / len(layer.ops)
        deviation = np.sqrt(len(column) * share * (1 - share))
        for op in layer.ops:
            count = (column == op).sum()
            assert abs(count - len(column) * share) <= 5 * deviation


@quick
@given(problem=problems(), seed=st.integers(0, 50), name=st.sampled_from([*ALGORITHMS]))
def test_no_search_leaves_the_budget_or_beats_the_exact_one(
    problem, seed: int, name: str
) -> None:
    space, costs, budget = problem
    table = random_table(space, seed)
    allowed = rows(space.canonical(feasible(space, costs, budget)))
    best = {}
    for algorithm in ("exact", name):
        stated = Problem(space, costs, budget, table)
        search = Search(ALGORITHMS[algorithm](stated, FEW, seed))
        try:
            found = search.run(additive(table))
        except InputError:
            assert not allowed
            return
        assert rows(space.canonical(found.architectures)) <= allowed
        best[algorithm] = found.scores[0]
    everything = every_architecture(space)
    inside = [
        row for row in everything if tuple(row) in rows(feasible(space, costs, budget))
    ]
    assert best["exact"] == pytest.approx(
        additive(table)(np.array(inside))["score"].max()
    )
    assert best[name] <= best["exact"] + 1e-9


@quick
@given(
    problem=problems(),
    seed=st.integers(0, 50),
    name=st.sampled_from([*ALGORITHMS]),
    last=st.integers(1, 3),
)
def test_a_search_that_is_stopped_ends_alike(
    problem, seed: int, name: str, last: int
) -> None:
    """After any generation, through JSON text, to the same candidates and history."""
    space, costs, budget = problem
    table = random_table(space, seed)

    def fresh() -> Search:
        stated = Problem(space, costs, budget, table)
        return Search(ALGORITHMS[name](stated, FEW, seed))

    states: list[str] = []
    whole = fresh()
    try:
        found = whole.run(
            additive(table), lambda row: states.append(json.dumps(whole.state()))
        )
    except InputError:
        return
    again = fresh()
    again.restore(json.loads(states[min(last, len(states)) - 1]))
    ended = again.run(additive(table))
    assert again.history == whole.history
    assert_same(ended, found)
