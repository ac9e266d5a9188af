"""Statistics of rankings, against other implementations and brute force."""

import itertools
import json
import warnings

import numpy as np
import pytest
from macro_tables import some_names, write_table
from scipy import stats

from difnas_jax.errors import InputError
from difnas_jax.ranking import correlation
from difnas_jax.ranking.correlation import correlations
from difnas_jax.ranking.selection import choice, cross_validate
from difnas_jax.ranking.tables import read_nas_bench_macro

REFERENCES = {
    "tau_b": stats.kendalltau,
    "spearman": stats.spearmanr,
    "weighted_tau": stats.weightedtau,
}


def ranked(rng, size, levels):
    """Scores and accuracies with ties where there are few levels."""
    scores = rng.integers(0, levels, size).astype(float)
    return scores, np.round(scores + rng.normal(0, levels / 3, size))


@pytest.mark.parametrize("name", correlation.CORRELATIONS)
@pytest.mark.parametrize(
    "size, levels", [(2, 9), (3, 3), (17, 3), (64, 8), (100, 1000), (1100, 40)]
)
def test_correlations_are_those_of_scipy(name, size, levels, rng):
    for _ in range(3):
        scores, accuracies = ranked(rng, size, levels)
        found = correlation.CORRELATIONS[name](scores, accuracies)
        if np.ptp(scores) == 0 or np.ptp(accuracies) == 0:
            assert np.isnan(found)
        else:
            expected = REFERENCES[name](scores, accuracies)[0]
            assert found == pytest.approx(expected, abs=1e-12)


def test_tau_b_counts_pairs(rng):
    """Every pair one by one, by the definition."""
    scores, accuracies = ranked(rng, 40, 6)
    signs = [
        (np.sign(scores[i] - scores[j]), np.sign(accuracies[i] - accuracies[j]))
        for i, j in itertools.combinations(range(40), 2)
    ]
    first, second = np.array(signs).T
    expected = (first @ second) / np.sqrt((first @ first) * (second @ second))
    found = correlation.kendall_tau_b(scores, accuracies)
    assert found == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("statistic", correlation.CORRELATIONS.values())
@pytest.mark.parametrize(
    "scores", [[], [1.0], [2.0, 2.0, 2.0], [1.0, np.nan, 2.0], [np.nan] * 3]
)
def test_a_correlation_that_is_not_defined_is_nan(statistic, scores):
    accuracies = np.arange(len(scores), dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(statistic(np.array(scores), accuracies))
        assert np.isnan(statistic(accuracies, np.array(scores)))


@pytest.mark.parametrize("statistic", correlation.CORRELATIONS.values())
def test_infinite_scores_are_ranked(statistic):
    scores = np.array([-np.inf, -np.inf, 0.0, np.inf, 1.0])
    ranks = np.array([0.0, 0.0, 1.0, 3.0, 2.0])
    accuracies = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    assert statistic(scores, accuracies) == statistic(ranks, accuracies)


def test_resampled_statistics_are_those_of_the_repeated_rows(rng):
    scores, accuracies = rng.integers(0, 6, 40), rng.integers(0, 9, 40)
    times = rng.multinomial(40, np.full(40, 1 / 40), size=5)
    sums = correlation.pair_sums(scores, accuracies, times)
    tau = correlation.resampled_tau_b(times, sums)
    rho = correlation.resampled_spearman(times, sums)
    weighted = correlation.resampled_weighted_tau(scores, accuracies, times, sums)
    for row, repeats in enumerate(times):
        index = np.repeat(np.arange(40), repeats)
        pair = scores[index], accuracies[index]
        assert tau[row] == pytest.approx(stats.kendalltau(*pair)[0], abs=1e-6)
        assert rho[row] == pytest.approx(stats.spearmanr(*pair)[0], abs=1e-9)
        assert weighted[row] == pytest.approx(stats.weightedtau(*pair)[0], abs=1e-9)


def test_pairs_are_compared_in_blocks(rng, monkeypatch):
    scores, accuracies = ranked(rng, 50, 7)
    times = rng.multinomial(50, np.full(50, 1 / 50), size=3)
    whole = correlation.pair_sums(scores, accuracies, times)
    monkeypatch.setattr(correlation, "BLOCK", 7)
    assert (correlation.pair_sums(scores, accuracies, times) == whole).all()


def test_the_bootstrap_follows_from_its_seed(rng):
    scores, accuracies = ranked(rng, 60, 20)
    both, groups = np.stack([scores, accuracies + scores]), np.arange(60)
    first = correlations(both, accuracies, groups, seed=3)
    assert first == correlations(both, accuracies, groups, seed=3)
    other = correlations(both, accuracies, groups, seed=4)
    assert first["tau_b_interval"] != other["tau_b_interval"]
    assert first["tau_b"] == other["tau_b"]
    for name in correlation.CORRELATIONS:
        low, high = first[f"{name}_interval"]
        assert low < first[name] < high


def test_names_of_one_network_are_drawn_together(rng):
    """Writing every network down twice adds no evidence."""
    scores, accuracies = ranked(rng, 60, 50)
    once = correlations(scores[None], accuracies, np.arange(60))
    twice = correlations(
        np.tile(scores, 2)[None], np.tile(accuracies, 2), np.tile(np.arange(60), 2)
    )
    assert twice["n"] == 120
    for name in ("tau_b", "spearman"):
        assert twice[name] == pytest.approx(once[name], abs=0.02)
        expected = once[f"{name}_interval"]
        assert twice[f"{name}_interval"] == pytest.approx(expected, abs=0.02)


def test_few_networks_have_no_interval(rng):
    scores, accuracies = ranked(rng, 9, 50)
    found = correlations(scores[None], accuracies, np.arange(9))
    assert found["tau_b"] is not None and found["tau_b_interval"] is None


def test_a_perfect_and_a_reversed_score(tmp_path, rng):
    table = read_nas_bench_macro(write_table(tmp_path / "t.json", some_names(rng), rng))

    def found(scores):
        return correlations(scores[None], table.accuracies, table.network)

    values = found(table.accuracies)
    assert values["tau_b"] == pytest.approx(1)
    assert values["tau_b_interval"] == pytest.approx([1, 1])
    values = found(-table.accuracies)
    assert [values["tau_b"], values["spearman"]] == pytest.approx([-1, -1])
    values = found(np.zeros(len(table)))
    assert values["tau_b"] is None and values["tau_b_interval"] is None


def test_choice_within_a_budget():
    scores = np.array([1.0, 3.0, 3.0, np.nan, 9.0])
    accuracies = np.array([90.0, 80.0, 85.0, 95.0, 99.0])
    costs = np.array([10, 30, 20, 20, 50])
    found = choice(scores, accuracies, costs, max_cost=40)
    assert found == (2, 3, 10.0, 0.5)  # the cheaper of two; best is 3 of 4 within
    assert choice(scores, accuracies, costs) == (4, 4, 0.0, 0.0)
    assert choice(scores, accuracies, costs, max_cost=5) is None


def test_names_of_one_network_count_once(tmp_path, rng):
    names = ["10012012", "10012021", "11010012", "11001012", "22222222"]
    table = read_nas_bench_macro(write_table(tmp_path / "t.json", names, rng))
    assert len(table) == 5 and len(table[table.first_of_network]) == 4
    assert table.network[2] == table.network[3]


def test_the_choice_among_scores_is_judged_by_what_did_not_choose(tmp_path, rng):
    table = read_nas_bench_macro(write_table(tmp_path / "t.json", some_names(rng), rng))
    table = table[table.first_of_network]
    noise = rng.normal(size=(2, 3, len(table)))
    scores = {
        "true": table.accuracies + 0.5 * noise[0],
        "noise": noise[1],
        "constant": np.zeros((3, len(table))),
    }
    found = cross_validate(scores, table.accuracies)
    assert found["chosen"] == {"true": found["splits"]}
    assert 0.8 < found["tau_b"] < 1
    # A score that only one supernet has is not chosen by it to be judged by it.
    lucky = np.stack([table.accuracies, noise[1, 0], noise[1, 0]])
    found = cross_validate({"lucky": lucky, "fair": scores["true"]}, table.accuracies)
    assert found["chosen"]["fair"] > found["splits"] / 2


def test_the_public_table(shared_data):
    """Published costs and the published correlation of the layer count."""
    path = shared_data / "nas_bench_macro_half.json"
    table, entries = read_nas_bench_macro(path), json.loads(path.read_text())
    assert table.names.tolist() == list(entries)
    for name, key in (("macs", "flops"), ("params", "params")):
        published = [entry[key] for entry in entries.values()]
        assert table.costs[name].tolist() == published
    depth = (table.architectures != 0).sum(1)
    found = correlation.kendall_tau_b(depth, table.accuracies)
    assert found == pytest.approx(0.689, abs=6e-4)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"012": {"mean_acc": 1}}', '{"01201203": {"mean_acc": 1}}']
    + ['{"01201201": {}}', '{"01201201": {"mean_acc": "x"}}']
    + ['{"01201201": {"mean_acc": NaN}}', '{"01201201": {"mean_acc": 90.0}}']
    + ['{"10012012": {"mean_acc": 1}, "10012021": 3}'],
)
def test_a_malformed_table_is_refused(tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InputError, match=r"t\.json"):
        read_nas_bench_macro(tmp_path / "t.json")
