"""How many networks a budget allows: two ways to count, and published sizes."""

import dataclasses

import numpy as np
import pytest

from difnas_jax.search import counting
from difnas_jax.search.counting import networks_within
from difnas_jax.search.problem import Budget, Problem
from difnas_jax.spaces import SPACES, build
from difnas_jax.spaces.costs import cost_table


def problem_of(space, **limits):
    return Problem(space, cost_table(space), Budget.of(**limits))


def of_name(name, **limits):
    size = {"image_size": 16, "image_channels": 3, "num_classes": 10}
    return problem_of(build(name, **size), **limits)


@pytest.mark.parametrize("position", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("bound", ["min_macs", "max_macs", "min_params", "max_params"])
def test_counting_by_costs_equals_listing(tiny, bound, position):
    # Two equal layers in which identities may move, and others around them.
    space = dataclasses.replace(tiny, layers=(*tiny.layers, *tiny.layers[1:]))
    low, high = problem_of(space).reach[bound[4:]]
    limits = {bound: low + int(position * (high - low))}
    problem = problem_of(space, **limits)
    expected = counting._listed(problem)
    assert counting._counted(problem) == expected > 0


def test_both_ends_of_one_cost_count(tiny):
    costs = np.sort(problem_of(tiny).costs.of(np.array([[0, 0, 0], [1, 1, 1]]))["macs"])
    problem = problem_of(tiny, min_macs=int(costs[0]) + 1, max_macs=int(costs[1]) - 1)
    assert counting._counted(problem) == counting._listed(problem) > 0


def test_without_bounds_it_is_the_number_of_networks():
    # Without identity every architecture is a network of its own.
    for name in ("bnnas17", "fairnas19"):
        space = build(name, image_size=32, image_channels=3, num_classes=10)
        space = space.without_identity()
        assert networks_within(problem_of(space)) == space.size


def test_more_networks_than_64_bits_hold_are_counted_exactly():
    space = build("mbv2", image_size=32, image_channels=3, num_classes=10)
    layers = space.without_identity().layers
    twice = dataclasses.replace(space, layers=layers + layers)
    assert twice.size > 2**63
    found = networks_within(
        problem_of(twice, max_macs=problem_of(twice).reach["macs"][1])
    )
    assert found == twice.size


def test_an_empty_window_has_no_network():
    problem = of_name("digits")
    low, high = problem.reach["macs"]
    narrow = of_name("digits", min_macs=low + 1, max_macs=low + 49)
    assert networks_within(narrow) == 0
    assert networks_within(of_name("digits", max_macs=low)) == 1
    assert networks_within(of_name("digits", min_macs=high)) not in (0, None)


@pytest.mark.parametrize("name", sorted(SPACES))
def test_a_budget_that_binds_nothing_allows_all(name):
    everything = networks_within(of_name(name))
    low, high = of_name(name).reach["macs"]
    assert networks_within(of_name(name, min_macs=low, max_macs=high)) == everything


def test_what_would_take_long_is_not_counted():
    low, high = of_name("mbv2").reach["macs"]
    least, most = of_name("mbv2").reach["params"]
    bounds = {"max_macs": (low + high) // 2, "max_params": (least + most) // 2}
    assert networks_within(of_name("mbv2", **bounds)) is None
