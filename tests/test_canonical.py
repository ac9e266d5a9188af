"""A network is scored along the best of its paths, by every search."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from search_problems import DIGITS, additive, every_architecture, numbers, random_table

from difnas_jax.search.additive import sum_along_paths
from difnas_jax.search.algorithms import ALGORITHMS, Search
from difnas_jax.search.candidates import far_apart
from difnas_jax.search.equal_networks import highest_scoring_paths
from difnas_jax.search.problem import Budget, Problem
from difnas_jax.spaces.costs import cost_table
from difnas_jax.spaces.image import ImageLayer

RUN = ImageLayer(16, 16, 1, ops=(0, 1, 6))
# A reduction between two runs: 3 ** 3 * 2 * 3 ** 2 paths.
SPACE = dataclasses.replace(
    DIGITS,
    layers=(
        RUN,
        RUN,
        RUN,
        ImageLayer(16, 24, 2, ops=(0, 1)),
        ImageLayer(24, 24, 1, ops=(0, 6)),
        ImageLayer(24, 24, 1, ops=(0, 6)),
    ),
)


def best_scores(table: np.ndarray) -> dict[tuple[int, ...], float]:
    """Of each network, the score of its best path, by looking at all paths."""
    best: dict[tuple[int, ...], float] = {}
    paths = every_architecture(SPACE)
    networks = SPACE.canonical(paths)
    scores = sum_along_paths(table, paths)
    for network, score in zip(map(tuple, networks.tolist()), scores, strict=True):
        best[network] = max(score, best.get(network, -np.inf))
    return best


@pytest.mark.parametrize("seed", range(5))
def test_the_best_path_of_each_network(seed: int) -> None:
    table = random_table(SPACE, seed)
    paths = every_architecture(SPACE)
    moved = highest_scoring_paths(paths, table, SPACE)
    np.testing.assert_array_equal(SPACE.canonical(moved), SPACE.canonical(paths))
    best = best_scores(table)
    expected = [best[tuple(row)] for row in SPACE.canonical(paths).tolist()]
    np.testing.assert_allclose(sum_along_paths(table, moved), expected, rtol=1e-12)


def test_a_path_through_an_op_without_score_is_avoided() -> None:
    table = random_table(SPACE, 0)
    table[1, 0] = np.nan
    moved = highest_scoring_paths(np.array([[6, 0, 6, 0, 0, 6]]), table, SPACE)
    assert np.isfinite(sum_along_paths(table, moved)).all()


OF_ARCHITECTURES = [n for n, row in ALGORITHMS.items() if not row.needs_subsets]


@pytest.mark.parametrize("name", OF_ARCHITECTURES)
def test_every_search_scores_a_network_by_its_best_path_once(name: str) -> None:
    table = random_table(SPACE, 1)
    problem = Problem(SPACE, cost_table(SPACE), Budget.of(), table)
    settings = numbers(generations=4, population=60)
    search = Search(ALGORITHMS[name](problem, settings, 0))
    search.run(additive(table))
    found = search.algorithm.evaluated
    networks = list(map(tuple, SPACE.canonical(found.architectures).tolist()))
    assert len(networks) == len(set(networks)) > 20
    best = best_scores(table)
    np.testing.assert_allclose(found.scores, [best[n] for n in networks], rtol=1e-12)


@pytest.mark.parametrize("distance", range(1, SPACE.num_layers + 1))
@pytest.mark.parametrize("count", [1, 4, 10**6])
def test_networks_that_are_kept_are_the_best_that_differ(rng, count, distance):
    paths = rng.permuted(every_architecture(SPACE), axis=0)[:120]
    networks = SPACE.canonical(paths)
    kept = far_apart(networks, count, distance)
    chosen: list[int] = []
    for index, network in enumerate(networks):  # each may be compared with all before
        apart = [int((network != networks[other]).sum()) for other in chosen]
        if len(chosen) < count and all(layers >= distance for layers in apart):
            chosen.append(index)
    assert kept.tolist() == chosen and kept[0] == 0
    if distance == 1 and count > len(networks):
        assert len(kept) == len(np.unique(networks, axis=0))


def test_of_no_networks_none_is_kept():
    assert far_apart(np.zeros((0, 3), int), 2, 1).shape == (0,)
