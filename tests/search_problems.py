"""Search problems that are small enough, or public enough, to know the answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from difnas_jax import spaces
from difnas_jax.search.algorithms import Search
from difnas_jax.search.budget import Budget, reachable
from difnas_jax.search.candidates import Candidates
from difnas_jax.search.evolution import Evolution
from difnas_jax.search.problem import Problem
from difnas_jax.search.scores import path_scores
from difnas_jax.search.settings import Settings
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import CostTable, cost_table
from difnas_jax.spaces.image import ImageLayer

Score = Callable[[np.ndarray], np.ndarray]
quick = hypothesis_settings(
    max_examples=15, deadline=None, database=None, derandomize=True
)
CAP = Budget(max_macs=475_000_000)  # fits under 1 % of uniform draws on `mbv2`


def imagenet(name: str) -> tuple[SearchSpace, CostTable]:
    """A space for ImageNet and what it costs."""
    space = spaces.build(name, image_size=224, image_channels=3, num_classes=1000)
    return space, cost_table(space)


MBV2, MBV2_COSTS = imagenet("mbv2")
DIGITS = spaces.build("digits", image_size=16, image_channels=1, num_classes=10)


def small_space(*allowed: tuple[int, ...]) -> SearchSpace:
    """The first layers of `digits` with other choices; costs are given apart."""
    layers = tuple(ImageLayer(16, 16, 1, ops=ops) for ops in allowed)
    return dataclasses.replace(DIGITS, name="small", fixed=(), layers=layers)


def random_costs(space: SearchSpace, seed: int) -> CostTable:
    """Costs that have no structure; those of ops not allowed must not matter."""
    macs, params = np.random.default_rng(seed).integers(
        0, 50, (2, space.num_layers, space.num_ops)
    )
    return CostTable(macs, params, 7, 3)


def random_table(space: SearchSpace, seed: int) -> np.ndarray:
    """A score table without ties."""
    draws = np.random.default_rng(seed).normal(size=space.allowed.shape)
    return np.where(space.allowed, draws, np.nan)


def additive(table: np.ndarray) -> Score:
    """The score function of a table."""
    return lambda architectures: path_scores(table, architectures)


def every_architecture(space: SearchSpace) -> np.ndarray:
    """int[N, L]: the whole space."""
    grid = np.meshgrid(*(layer.ops for layer in space.layers), indexing="ij")
    return np.stack([axis.ravel() for axis in grid], axis=-1)


def feasible(space: SearchSpace, costs: CostTable, budget: Budget) -> np.ndarray:
    """The whole space within a budget, by plain comparisons."""
    everything = every_architecture(space)
    macs, params = costs.of(everything)
    inside = (macs >= budget.min_macs) & (params >= budget.min_params)
    for cost, bound in ((macs, budget.max_macs), (params, budget.max_params)):
        inside &= cost <= (np.inf if bound is None else bound)
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
    search = Search(Evolution(problem, settings or Settings(), seed))
    return search.run(score, on_generation), search.history


@st.composite
def problems(draw: st.DrawFn) -> tuple[SearchSpace, CostTable, Budget]:
    """A space of at most 64 architectures, random costs, and any budget in reach."""
    ops = st.sets(st.integers(0, 6), min_size=1, max_size=4).map(sorted).map(tuple)
    space = small_space(*draw(st.lists(ops, min_size=1, max_size=3)))
    costs = random_costs(space, draw(st.integers(0, 10_000)))
    bounds = []
    for lowest, highest in reachable(costs, space).values():
        values = st.integers(lowest, highest)
        low, high = sorted((draw(values), draw(values)))
        bounds += [low, draw(st.sampled_from((high, None)))]
    return space, costs, Budget(*bounds)
