"""The benchmark against NAS-Bench-Macro: its statistics, its table, its door."""

import json

import numpy as np
import pytest
from scipy import stats

from benchmarks import nas_bench_macro, ranking
from benchmarks.cross_validation import cross_validated
from benchmarks.macro_table import load_table
from difnas_jax.errors import InputError
from difnas_jax.runtime.artifacts import Indicator


def write_table(path, names, rng):
    accuracies = rng.uniform(80, 95, len(names)).tolist()
    entries = {n: {"mean_acc": a} for n, a in zip(names, accuracies, strict=True)}
    path.write_text(json.dumps(entries))
    return path


def some_names(rng, count=60):
    digits = rng.integers(0, 3, size=(count, 8))
    return sorted({"".join(map(str, row)) for row in digits})


def test_resampled_statistics_are_those_of_the_repeated_rows(rng):
    scores, accuracies = rng.integers(0, 6, 40), rng.integers(0, 9, 40)
    weights = rng.multinomial(40, np.full(40, 1 / 40), size=5)
    tau = ranking._tau_of_resamples(scores, accuracies, weights)
    rho = ranking._spearman_of_resamples(scores, accuracies, weights)
    for row, times in enumerate(weights):
        index = np.repeat(np.arange(40), times)
        pair = scores[index], accuracies[index]
        assert tau[row] == pytest.approx(stats.kendalltau(*pair)[0], abs=1e-6)
        assert rho[row] == pytest.approx(stats.spearmanr(*pair)[0], abs=1e-9)


def test_a_perfect_and_a_reversed_score(tmp_path, rng):
    table = load_table(write_table(tmp_path / "t.json", some_names(rng), rng))
    values = ranking.correlations(np.stack([table.accuracies]), table)
    assert values["tau_b"] == pytest.approx(1)
    assert values["tau_b_interval"] == pytest.approx([1, 1])
    values = ranking.correlations(np.stack([-table.accuracies]), table)
    assert [values["tau_b"], values["spearman"]] == pytest.approx([-1, -1])
    values = ranking.correlations(np.zeros((1, len(table))), table)
    assert values["tau_b"] is None and values["tau_b_interval"] is None


def test_names_of_one_network_count_once(tmp_path, rng):
    names = ["10012012", "10012021", "11010012", "11001012", "22222222"]
    table = load_table(write_table(tmp_path / "t.json", names, rng))
    assert len(table) == 5 and len(table.once()) == 4
    assert table.network[2] == table.network[3]


def test_regret_is_that_of_the_best_score_within_the_budget(tmp_path, rng):
    table = load_table(write_table(tmp_path / "t.json", some_names(rng), rng)).once()
    for row in ranking.regrets(table.accuracies[None], table):
        assert row["regret"] == 0 and row["share"] == 0
        assert row["found"] == [row["best"]]
    worst = ranking.regrets(-table.accuracies[None], table)[-1]
    assert worst["regret"] == pytest.approx(np.ptp(table.accuracies))


def test_the_choice_among_scores_is_judged_by_what_did_not_choose(tmp_path, rng):
    table = load_table(write_table(tmp_path / "t.json", some_names(rng), rng)).once()
    noise = rng.normal(size=(2, 3, len(table)))
    scores = {
        "true": table.accuracies + 0.5 * noise[0],
        "noise": noise[1],
        "constant": np.zeros((3, len(table))),
    }
    found = cross_validated(scores, table)
    assert found["chosen"] == {"true": found["splits"]}
    assert 0.8 < found["tau_b"] < 1
    # A score that only one supernet has is not chosen by it to be judged by it.
    lucky = np.stack([table.accuracies, noise[1, 0], noise[1, 0]])
    found = cross_validated({"lucky": lucky, "fair": scores["true"]}, table)
    assert found["chosen"]["fair"] > found["splits"] / 2


def test_the_public_baselines(shared_data):
    """The README of the table gives them for all names."""
    table = load_table(shared_data / "nas_bench_macro_half.json")
    expected = {"params": 0.216, "MACs": 0.559, "layer count": 0.689}
    rows = ranking.baselines(table)
    for name, tau in expected.items():
        found = ranking.tau_b(rows[name][0], table.accuracies)
        assert found == pytest.approx(tau, abs=6e-4)
    assert len(table) == 3355 and len(table.once()) == 1984


@pytest.fixture
def indicator(tmp_path, rng):
    path = tmp_path / "indicator.npz"
    method = {"score": "sum", "layer_indicator": "plain"}
    Indicator(rng.random((8, 3)), {}, {"method": method}).save(path)
    return path


def test_a_stored_indicator_alone(tmp_path, indicator, rng, capsys):
    table = write_table(tmp_path / "t.json", some_names(rng), rng)
    flags = [f"--indicator={indicator}", f"--table={table}"]
    assert nas_bench_macro.main([*flags, f"--output={tmp_path / 'out'}"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == json.loads((tmp_path / "out" / "result.json").read_text())
    for name in ("tau_b", "spearman", "tau_b_interval", "spearman_interval", "n"):
        assert printed[name] is not None
    for name in ("scores.csv", "scatter.png", "scores.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0


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
        load_table(tmp_path / "t.json")


@pytest.mark.parametrize(
    "flags",
    [[], ["--data=a", "--indicator=b"], ["--data=a", "--method=none"]]
    + [["--data=a", "--networks=1"], ["--data=a", "--seeds=x"]]
    + [["--data=a", "--updates=0"], ["--indicator=absent.npz"]]
    + [["--data=a", "--config.method.score=best"]],
)
def test_bad_flags_are_one_line(tmp_path, flags, rng, capsys):
    table = write_table(tmp_path / "t.json", some_names(rng), rng)
    words = [f"--table={table}", f"--workdir={tmp_path / 'runs'}", *flags]
    assert nas_bench_macro.main(words) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and error[0].startswith("error: ")
    assert not (tmp_path / "runs").exists()
