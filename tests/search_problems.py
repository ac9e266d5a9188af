"""Search problems that are small enough, or public enough, to know the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from difnas_jax import spaces
from difnas_jax.config import default
from difnas_jax.search.additive import sum_along_paths
from difnas_jax.search.algorithms import Score, Search
from difnas_jax.search.base import Settings
from difnas_jax.search.candidates import SCORE, Candidates
from difnas_jax.search.evolution import Evolution
from difnas_jax.search.problem import Budget, Problem, reachable
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import PARAMS, CostTable, cost_table
from difnas_jax.spaces.image import ImageLayer

quick = hypothesis_settings(
    max_examples=15, deadline=None, database=None, derandomize=True
)
CAP = Budget.of(max_macs=475_000_000)  # fits under 1 % of uniform draws on `mbv2`


def imagenet(name: str) -> tuple[SearchSpace, CostTable]:
    """A space for ImageNet and what it costs."""
    space = spaces.build(name, image_size=224, image_channels=3, num_classes=1000)
    return space, cost_table(space)


MBV2, MBV2_COSTS = imagenet("mbv2")
DIGITS = spaces.build("digits", image_size=16, image_channels=1, num_classes=10)


def numbers(**changes: Any) -> Settings:
    """The settings of the default config, with some changes."""
    return Settings.of({**default().search, **changes})


def small_space(*allowed: tuple[int, ...]) -> SearchSpace:
    """The first layers of `digits` with other choices; costs are given apart."""
    layers = tuple(ImageLayer(16, 16, 1, ops=ops) for ops in allowed)
    return dataclasses.replace(DIGITS, name="small", fixed=(), layers=layers)


def random_costs(space: SearchSpace, seed: int) -> CostTable:
    """Costs that have no structure; those of ops not allowed must not matter."""
    macs, params = np.random.default_rng(seed).integers(
        0, 50, (2, space.num_layers, space.num_ops)
    )
    tables = {"macs": macs, "params": params}
    return CostTable(tables, {"macs": 7, "params": 3})


def random_table(space: SearchSpace, seed: int) -> np.ndarray:
    """A score table without ties."""
    draws = np.random.default_rng(seed).normal(size=space.allowed.shape)
    return np.where(space.allowed, draws, np.nan)


def additive(table: np.ndarray) -> Score:
    """The score function of a table; a set of ops scores the mean of each layer."""

    def score(asked: np.ndarray) -> dict[str, np.ndarray]:
        if asked.ndim == 2:
            return {SCORE: sum_along_paths(table, asked)}
        means = np.where(asked, table, 0.0).sum(2) / asked.sum(2)
        return {SCORE: np.tile(means.sum(1)[:, None], 2)}  # two repeats

    return score


def every_architecture(space: SearchSpace) -> np.ndarray:
    """int[N, L]: the whole space."""
    grid = np.meshgrid(*(layer.ops for layer in space.layers), indexing="ij")
    return np.stack([axis.ravel() for axis in grid], axis=-1)


def feasible(space: SearchSpace, costs: CostTable, budget: Budget) -> np.ndarray:
    """The whole space within a budget, by plain comparisons."""
    everything = every_architecture(space)
    inside = np.ones(len(everything), bool)
    for name, cost in costs.of(everything).items():
        low, high = budget.bounds.get(name, (None, None))
        inside &= cost >= (-np.inf if low is None else low)
        inside &= cost <= (np.inf if high is None else high)
    return everything[inside]


def rows(architectures: np.ndarray) -> set[tuple[int, ...]]:
    """Architectures as a set."""
    return set(map(tuple, architectures.tolist()))


def evolve(
    space: SearchSpace,
    costs: CostTable,
    budget: Budget,
    score: Score,
    *,
    settings: Settings | None = None,
    seed: int = 0,
    on_generation: Callable[[dict[str, Any]], None] = lambda row: None,
) -> tuple[Candidates, list[dict[str, Any]]]:
    """What an evolution finds, best first, and its history."""
    problem = Problem(space, costs, budget)
    search = Search(Evolution(problem, settings or numbers(), seed))
    return search.run(score, on_generation), search.history


def assert_same(found: Candidates, expected: Candidates) -> None:
    """The same architectures and the same columns in the same order."""
    np.testing.assert_array_equal(found.architectures, expected.architectures)
    assert list(found.columns) == list(expected.columns)
    for name, column in expected.columns.items():
        np.testing.assert_array_equal(found.columns[name], column)


@st.composite
def problems(draw: st.DrawFn) -> tuple[SearchSpace, CostTable, Budget]:
    """A space of at most 64 architectures, random costs, and any budget in reach."""
    ops = st.sets(st.integers(0, 6), min_size=1, max_size=4).map(sorted).map(tuple)
    space = small_space(*draw(st.lists(ops, min_size=1, max_size=3)))
    costs = random_costs(space, draw(st.integers(0, 10_000)))
    bounds = {}
    for name, (lowest, highest) in reachable(costs, space.allowed).items():
        values = st.integers(int(lowest), int(highest))
        low, high = sorted((draw(values), draw(values)))
        bounds[name] = low, draw(st.sampled_from((high, None)))
    return space, costs, Budget(bounds)


def supernet_params(space: SearchSpace) -> int:
    """Parameters of all candidates together, without layer-indicator batch norms."""
    table = cost_table(space)
    return int(table.tables[PARAMS].sum() + table.fixed[PARAMS])
