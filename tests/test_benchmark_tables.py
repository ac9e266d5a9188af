"""Tables of NAS-Bench-201, and what the numbers say of a score against them."""

import csv
import dataclasses

import numpy as np
import pytest
from cell_tables import SPACE, rows_of, some_cells, write_rows

from difnas_jax.errors import InputError
from difnas_jax.ranking import comparison
from difnas_jax.ranking.combiners import COMBINERS
from difnas_jax.ranking.comparison import combined, counted, evaluations
from difnas_jax.ranking.correlation import correlations, kendall_tau_b
from difnas_jax.ranking.evaluation import FEWEST_OF_ONE_SIZE, evaluation, tau_within
from difnas_jax.ranking.tables import CIFAR10, read_nas_bench_201


@pytest.fixture
def rows(rng):
    return rows_of(some_cells(rng, 300), rng)


@pytest.fixture
def table(rows, tmp_path):
    return read_nas_bench_201(write_rows(tmp_path / "t.csv", rows))


@pytest.fixture(scope="module")
def half(shared_data):
    """The public table, and the scores that stand in it."""
    path = shared_data / "nb201_half.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.startswith("zc_")]
    scores = {n: np.array([float(r[n] or "nan") for r in rows]) for n in names}
    return read_nas_bench_201(path), scores


def numbers(scores, table):
    return evaluation(np.atleast_2d(scores), table, CIFAR10)


def test_a_table_is_what_was_written(rows, table):
    assert table.names.tolist() == [row["arch"] for row in rows]
    assert [SPACE.text(cell) for cell in table.architectures] == table.names.tolist()
    assert table.index.tolist() == [row["index"] for row in rows]
    assert len(table.first_of_network) == len({row["eq_class"] for row in rows})
    for values, column in zip(
        table.by_data_set.values(), ("test_c10", "test_c100", "test_in16"), strict=True
    ):
        assert values.tolist() == [row[column] for row in rows]
    assert table[np.array([4, 2])].names.tolist() == [rows[4]["arch"], rows[2]["arch"]]


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        ("arch", "|none~0|", "got 1"),
        ("arch", "|conv~0|+|none~0|none~1|+|none~0|none~1|none~2|", "conv"),
        ("params", 1, "params"),
        ("flops", "x", "x"),
        ("index", "", "''"),
        ("test_c10", "nan", "accuracy"),
        ("test_in16", None, "test_in16"),
        ("eq_class", None, "eq_class"),
    ],
)
def test_a_malformed_table_is_refused(rows, tmp_path, column, value, named):
    changed = rows[0] | {column: value}
    rows = [changed, *rows[1:]] if value is not None else rows
    if value is None:
        rows = [{n: cell for n, cell in row.items() if n != column} for row in rows]
    path = write_rows(tmp_path / "t.csv", rows)
    with pytest.raises(InputError, match=rf"t\.csv.*{named}"):
        read_nas_bench_201(path)


def test_one_network_is_no_table(rows, tmp_path):
    with pytest.raises(InputError, match="two networks"):
        read_nas_bench_201(write_rows(tmp_path / "t.csv", rows[:2]))


def test_a_perfect_and_a_constant_score(table):
    found = numbers(table.accuracies, table)
    for name in ("tau_b", "tau_b_low", "tau_b_high", "spearman", "best_tenth"):
        assert found[name] == pytest.approx(1)
    assert found["regret"] == 0
    assert found["chosen_accuracy"] == table.accuracies.max()
    found = numbers(np.zeros(len(table)), table)
    assert found["tau_b"] is None and found["best_tenth"] is None
    found = numbers(-table.accuracies, table)
    assert found["tau_b"] == pytest.approx(-1)
    assert found["regret"] == pytest.approx(np.ptp(table.accuracies))


def test_what_is_not_finite_ranks_worst_and_is_counted(table):
    scores = table.accuracies.copy()
    worst = np.argsort(scores)[:9]
    expected = scores.copy()
    expected[worst] = -1e9
    scores[worst] = [np.nan, np.inf, -np.inf] * 3
    found, other = numbers(scores, table), numbers(expected, table)
    assert found.pop("non_finite") == 9 and other.pop("non_finite") == 0
    assert found == other


def test_repeats_have_a_mean_and_a_spread(table, rng):
    scores = table.accuracies + rng.normal(0, 20, (3, len(table)))
    alone = [numbers(row, table) for row in scores]
    found = numbers(scores, table)
    for name in ("tau_b", "spearman", "distinct", "regret"):
        assert found[name] == pytest.approx(np.mean([one[name] for one in alone]))
    taus = [one["tau_b"] for one in alone]
    assert found["tau_b_spread"] == pytest.approx(np.std(taus, ddof=1))
    assert alone[0]["tau_b_spread"] is None


def test_the_interval_is_near_that_of_the_bootstrap(table, rng):
    scores = table.accuracies + rng.normal(0, 15, len(table))
    found = numbers(scores, table)
    expected = correlations(scores[None], table.accuracies, table.network)
    for name in ("tau_b", "spearman"):
        width = found[f"{name}_high"] - found[f"{name}_low"]
        assert width == pytest.approx(np.ptp(expected[f"{name}_interval"]), rel=0.35)
        assert found[name] == pytest.approx(expected[name])


def test_within_groups_of_equal_size_size_knows_nothing(rng):
    groups = np.repeat([5, 7, 9], [FEWEST_OF_ONE_SIZE, 60, FEWEST_OF_ONE_SIZE - 1])
    scores, accuracies = rng.normal(size=(2, len(groups)))
    within = tau_within(groups)
    assert within(groups, accuracies) == 0
    assert np.isnan(tau_within(np.arange(9))(scores[:9], accuracies[:9]))
    first, second = groups == 5, groups == 7
    taus = [kendall_tau_b(scores[part], accuracies[part]) for part in (first, second)]
    expected = np.average(taus, weights=[FEWEST_OF_ONE_SIZE, 60])
    assert within(scores, accuracies) == pytest.approx(expected)
    # Moving whole groups against each other changes nothing.
    assert within(scores + 10 * groups, accuracies) == pytest.approx(expected)


def test_combined_scores(table, rng):
    known = counted(table) | {"made_up": rng.normal(size=(2, len(table)))}
    for name in COMBINERS:
        alone = combined(f"{name}:made_up", known)
        for row, scores in zip(alone, known["made_up"], strict=True):
            assert kendall_tau_b(row, scores) == pytest.approx(1)
        both = combined(f"{name}:made_up+params", known)
        twice = combined(f"{name}:made_up+params+made_up+params", known)
        np.testing.assert_allclose(twice, 2 * both)
        assert both.shape == (2, len(table))
    for text in ("nonsense:params", "rank_sum:", "rank_sum:params+x", "params"):
        with pytest.raises(InputError, match="--combine"):
            combined(text, known)


def test_what_is_fitted_is_judged_on_other_networks(table, monkeypatch):
    """A score that knows the networks to which it is fitted knows nothing of others."""
    scores = {"params": counted(table)["params"]}
    found = evaluations(table, scores, fit_to=100)
    for rows in found.values():
        assert {row["n"] for row in rows.values()} <= {
            len(table) - 100,
            len(table) - 99,
        }
        assert abs(rows["fitted_path_counts"]["tau_b"]) < 0.25
    for count in (1, len(table)):
        with pytest.raises(InputError, match="--fit"):
            evaluations(table, scores, fit_to=count)
    monkeypatch.setattr(comparison, "path_counts", None)  # it takes a second
    plain = evaluations(table, scores)
    assert plain[CIFAR10].keys() == scores.keys()


def test_public_baselines(half):
    """The correlations that the table's own page gives, and published ones."""
    table, scores = half
    assert len(table) == 7749
    found = numbers(table.costs["params"], table)
    assert found["tau_b"] == pytest.approx(0.576, abs=6e-4)
    assert found["spearman"] == pytest.approx(0.751, abs=6e-4)
    assert found["same_params"] == 0
    kept = np.isfinite(scores["zc_jacov"])
    expected = {"jacov": (0.613, 0.795), "nwot": (0.625, 0.812), "zen": (0.109, 0.114)}
    for name, (tau, rho) in expected.items():
        found = numbers(scores[f"zc_{name}"][kept], table[kept])
        assert found["tau_b"] == pytest.approx(tau, abs=6e-4)
        assert found["spearman"] == pytest.approx(rho, abs=6e-4)
    jacov = numbers(scores["zc_jacov"][kept], table[kept])
    assert jacov["same_params"] == pytest.approx(0.502, abs=0.02)  # of the whole space


def test_a_part_of_a_table_keeps_its_space(table):
    part = table[table.first_of_network]
    assert part.space == SPACE
    assert dataclasses.replace(part).names.tolist() == part.names.tolist()
