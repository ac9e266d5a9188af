"""Regularized evolution, learned policies, and pruning: their own laws."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from search_problems import (
    DIGITS,
    additive,
    numbers,
    random_costs,
    random_table,
    rows,
    small_space,
)

from difnas_jax.search.algorithms import ALGORITHMS, Search
from difnas_jax.search.policy import Policy
from difnas_jax.search.policy_search import Gumbel, Reinforce, normalized_change
from difnas_jax.search.problem import Budget, Problem, RelativeScore
from difnas_jax.search.pruning import Pruning, importance
from difnas_jax.search.sequential import RegularizedEvolution
from difnas_jax.spaces import build
from difnas_jax.spaces.costs import cost_table

TABLE = random_table(DIGITS, 0)
PROBLEM = Problem(DIGITS, cost_table(DIGITS), Budget.of())


def settings(
    population: int = 50, steps: int = 60, tournament: int = 6, **changes: Any
):
    return numbers(population=population, steps=steps, tournament=tournament, **changes)


# Regularized evolution.


def test_the_oldest_dies_and_the_answer_is_of_the_last_population() -> None:
    algorithm = RegularizedEvolution(PROBLEM, settings(), 0)
    found = Search(algorithm).run(additive(TABLE))
    assert algorithm.first == 50 and len(algorithm.visited) == 110
    last = algorithm.evaluated[np.array(algorithm.visited[-50:])]
    assert rows(found.architectures) == rows(last.architectures)
    assert found.scores[0] == last.scores.max()
    best = algorithm.other_answers()["best of all"]
    assert best.scores[0] == algorithm.evaluated.scores.max() >= found.scores[0]


def test_a_child_has_one_other_op_than_a_living_parent() -> None:
    algorithm = RegularizedEvolution(PROBLEM, settings(), 0)
    score = additive(TABLE)
    asked = algorithm.ask()
    assert len(asked) == 50
    for _ in range(40):
        algorithm.tell(asked, score(asked))
        alive = algorithm.alive.architectures
        asked = algorithm.ask()
        parents = np.concatenate((alive, algorithm.alive.architectures))
        assert (parents != asked).sum(1).min() == 1


def test_the_tournament_is_won_by_its_best_and_selection_is_what_works() -> None:
    """With one member there is no selection; with all, the best one is the parent."""
    reached = {}
    for tournament in (1, 50):
        changes = settings(tournament=tournament, steps=150)
        algorithm = RegularizedEvolution(PROBLEM, changes, 0)
        reached[tournament] = Search(algorithm).run(additive(TABLE)).scores.mean()
    assert reached[50] > reached[1] + 1.0


# Policies.


def test_samples_follow_the_probabilities(rng) -> None:
    allowed = np.array([[True, True, False], [True, True, True]])
    policy = Policy(allowed, rng, 0.1)
    policy.logits = np.array([[0.0, 1.0, 9.0], [2.0, 0.0, 1.0]])
    drawn = policy.sample(policy.noise(40_000))
    shares = np.stack([(drawn == op).mean(0) for op in range(3)], axis=1)
    np.testing.assert_allclose(shares, policy.probabilities(), atol=0.01)
    assert policy.most_probable().tolist() == [1, 0]
    assert policy.probabilities()[0, 2] == 0


def test_adam_takes_steps_of_its_rate_and_spares_what_has_no_gradient(rng) -> None:
    policy = Policy(np.ones((2, 3), bool), rng, 0.25)
    before, gradient = policy.logits, np.array([[1e-4, -3.0, 0.0], [7.0, 0.0, -1.0]])
    for _ in range(3):  # of a constant gradient
        policy.ascend(gradient)
    expected = 0.75 * np.sign(gradient)
    np.testing.assert_allclose(policy.logits - before, expected, atol=1e-4)


def test_the_reward_is_the_normalised_change_of_every_term() -> None:
    terms = np.array([[5.0, -1.0]] + [[0.0, 0.0]] * 9 + [[2.0, -4.0], [1.0, -3.0]])
    assert normalized_change(terms[:1]) == 0.0
    # From 5 to 0 over a range of 5, and from -1 to 0 over a range of 1.
    assert normalized_change(terms[:2]) == pytest.approx(-1 + 1, abs=1e-5)
    # Of the last 10 the first is forgotten: ranges 2 and 4.
    assert normalized_change(terms) == pytest.approx(-1 / 2 + 1 / 4, abs=1e-5)


def test_a_visit_above_the_baseline_becomes_more_probable() -> None:
    """And one below less; the first, whose reward is 0, changes nothing."""
    algorithm = Reinforce(PROBLEM, settings(), 0)
    kept, sums = 0.9, np.zeros(2)
    for score in (1.0, 2.0, 0.0, 0.5):
        asked = algorithm.ask()
        before = algorithm.policy.probabilities()
        algorithm.tell(asked, {"score": np.array([score])})
        change = algorithm.policy.probabilities() - before
        visited = change[np.arange(len(change)), asked[0]]
        terms = np.array(algorithm.evaluated.scores)[:, None]
        reward = normalized_change(terms)
        sums = kept * sums + (1 - kept) * np.array([reward, 1.0])
        if reward == 0:
            np.testing.assert_array_equal(change, 0.0)
        elif score == 2.0:
            assert reward > sums[0] / sums[1] and (visited > 0).all()


@pytest.mark.parametrize("name", ["reinforce", "gumbel"])
def test_a_policy_learns(name: str) -> None:
    """Its most probable network is far above the networks of the start."""
    problem = Problem(DIGITS, cost_table(DIGITS), Budget.of())
    algorithm = ALGORITHMS[name](problem, settings(steps=400), 0)
    found = Search(algorithm).run(additive(TABLE))
    assert len(algorithm.visited) == 401  # type: ignore[attr-defined]
    best = found.scores[0]
    assert found.scores[0] == algorithm.evaluated.scores.max()
    (probable,) = algorithm.other_answers().values()
    start = algorithm.evaluated.scores[:50]
    spread = start.std()
    assert len(probable) == 1
    assert best >= probable.scores[0] > start.mean() + 2 * spread


def test_the_noise_that_gumbel_keeps_is_that_of_the_network_it_visits() -> None:
    """Also where the first sample within the budget has no path to the output."""
    cell = build("nas_bench_201", image_size=32, image_channels=3, num_classes=10)
    problem = Problem(cell, cost_table(cell), Budget.of())
    passed_over = 0
    for seed in range(20):
        algorithm = Gumbel(problem, settings(), seed)
        algorithm.policy.logits[:, 0] = 2.0  # of `none`
        noise = algorithm.policy.noise(20)
        visited = algorithm.sampled(noise)
        samples = algorithm.policy.sample(noise)
        passed_over += not cell.is_connected(samples[:1])[0]
        kept = algorithm.policy.sample(algorithm._noise[None])
        np.testing.assert_array_equal(kept[0], visited)
        assert cell.is_connected(kept)[0]
    assert passed_over > 5


def test_a_network_without_values_does_not_stop_a_policy() -> None:
    """It counts as the worst so far in each term."""
    relative = RelativeScore({"up": 1, "down": -1}, lambda terms: terms.sum(1))
    problem = Problem(DIGITS, cost_table(DIGITS), Budget.of(), relative=relative)
    algorithm = Reinforce(problem, settings(steps=4), 0)
    for up, down in ((np.nan, 1.0), (2.0, np.inf), (1.0, 5.0), (3.0, -np.inf)):
        asked = algorithm.ask()
        algorithm.tell(asked, {"up": np.array([up]), "down": np.array([down])})
        assert np.isfinite(algorithm.policy.logits).all()
    expected = [[1, -1], [2, -5], [1, -5], [3, -5]]
    np.testing.assert_array_equal(algorithm._terms(), expected)


# Pruning.


def test_importance_is_the_sum_of_the_ranks_of_relative_changes() -> None:
    """By hand: of the whole 10 and -4; the first term up, the second down."""
    whole = [[10.0, -4.0], [20.0, -8.0]]
    without = [
        [[9.0, -4.0], [18.0, -8.0]],  # 0.1 and 0
        [[5.0, -6.0], [10.0, -12.0]],  # 0.5 and 0.5
        [[8.9996, -2.0], [18.0004, -4.0]],  # 0.1, as rounded, and -0.5
        [[11.0, -4.0], [22.0, -8.0]],  # -0.1 and 0
    ]
    terms = np.array([whole, *without])
    assert importance(terms).tolist() == [1 + 1, 2 + 2, 1 + 0, 0 + 1]


def test_changes_are_averaged_over_repeats_to_three_digits() -> None:
    """0.2345 and 0.2355 are 0.234 and 0.236; their mean 0.235 equals another's."""
    whole = [[1.0], [1.0]]
    without = [[[1 - 0.2341], [1 - 0.2361]], [[1 - 0.2349], [1 - 0.2352]], [[0.7], [1]]]
    assert importance(np.array([whole, *without])).tolist() == [1, 1, 0]


def test_what_breaks_without_an_op_keeps_it_and_what_heals_loses_it() -> None:
    terms = np.array([[[1.0]], [[np.nan]], [[0.0]], [[2.0]]])
    assert importance(terms).tolist() == [2, 1, 0]
    terms = np.array([[[np.nan]], [[np.inf]], [[-5.0]]])
    assert importance(terms).tolist() == [1, 0]


def by_weights(weights: np.ndarray):
    """Two columns of sets of ops, in one repeat: the kept weight, up and down."""

    def score(subsets: np.ndarray) -> dict[str, np.ndarray]:
        kept = (subsets * weights).sum((1, 2))[:, None]
        return {"up": kept, "down": 1e3 / kept}

    return score


def test_pruning_keeps_the_heaviest_op_of_every_layer(rng) -> None:
    """One op a layer and round, the lightest; `none` is not even considered."""
    cell = build("nas_bench_201", image_size=32, image_channels=3, num_classes=10)
    weights = rng.permuted(np.tile(2.0 ** np.arange(5), (6, 1)), axis=1)
    weights[:, 0] = 1e6  # of `none`
    relative = RelativeScore({"up": 1, "down": -1}, lambda terms: terms.sum(1))
    problem = Problem(cell, cost_table(cell), Budget.of(), relative=relative)
    algorithm = Pruning(problem, numbers(), 0)
    search = Search(algorithm)
    sizes = []

    def on_round(row: dict[str, Any]) -> None:
        sizes.append(algorithm.left.sum(1).tolist())

    found = search.run(by_weights(weights), on_round)
    assert sizes == [[3] * 6, [2] * 6, [1] * 6, [1] * 6]
    assert found.architectures.tolist() == [(weights[:, 1:].argmax(1) + 1).tolist()]
    assert algorithm.evaluations == (1 + 24) + (1 + 18) + (1 + 12) + 1
    assert len(search.history) == 4 <= algorithm.rounds
    kept = weights[np.arange(6), found.architectures[0]].sum()
    assert found.columns["up"][0] == kept
    assert [row["evaluated"] for row in search.history] == [25, 44, 57, 58]


def test_pruning_leaves_room_for_the_budget(rng) -> None:
    """The heaviest ops cost the most, and only the cheapest network is allowed."""
    space = small_space((0, 1, 2), (3, 4, 5), (1, 4, 5, 6), (0, 6))
    costs = random_costs(space, 3)
    weights = np.where(space.allowed, costs.tables["macs"] + 1.0, 0.0)
    least, most = Problem(space, costs, Budget({})).reach["macs"]
    for cap in (least, (least + most) // 2, most):
        budget = Budget.of(max_macs=cap)
        relative = RelativeScore({"up": 1, "down": -1}, lambda terms: terms.sum(1))
        problem = Problem(space, costs, budget, relative=relative)
        algorithm = Pruning(problem, numbers(), 0)
        found = Search(algorithm).run(by_weights(weights))
        macs = found.columns["macs"][0]
        assert least <= macs <= cap
        assert macs == least if cap == least else macs > least


def test_an_interrupted_pruning_continues() -> None:
    weights = np.exp(np.nan_to_num(TABLE, nan=-9.0))
    relative = RelativeScore({"up": 1, "down": -1}, lambda terms: terms.sum(1))
    problem = Problem(DIGITS, cost_table(DIGITS), Budget.of(), relative=relative)
    whole = Search(Pruning(problem, numbers(), 0))
    states = []
    expected = whole.run(
        by_weights(weights), lambda row: states.append(json.dumps(whole.state()))
    )
    for state in states:
        again = Search(Pruning(problem, numbers(), 1))
        again.restore(json.loads(state))
        found = again.run(by_weights(weights))
        assert found.architectures.tolist() == expected.architectures.tolist()
        assert again.history == whole.history
