"""The command that compares a method with NAS-Bench-Macro, and its kept numbers."""

import json
from typing import Any

import numpy as np
import pytest
from cell_tables import rows_of, some_cells, write_rows
from macro_tables import some_names, write_table

from benchmarks.evidence import judge, limits, page, paired, results
from benchmarks.evidence.curves import LIMIT, learning_curves
from benchmarks.evidence.evaluation import baselines, evaluation, regrets
from benchmarks.evidence.method_scores import Ranking
from benchmarks.evidence.rows import CURVES, ROWS, curve_rows
from benchmarks.evidence.scored import Scored
from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.ranking.tables import read_nas_bench_macro
from difnas_jax.runtime.artifacts import Indicator


def test_regret_is_that_of_the_best_score_within_the_budget(tmp_path, rng):
    table = read_nas_bench_macro(write_table(tmp_path / "t.json", some_names(rng), rng))
    table = table[table.first_of_network]
    for row in regrets(table.accuracies[None], table):
        assert row["regret"] == 0 and row["share"] == 0
        assert row["found"] == [row["best"]]
    worst = regrets(-table.accuracies[None], table)[-1]
    assert worst["regret"] == pytest.approx(np.ptp(table.accuracies))


def test_the_public_baselines(shared_data):
    """The README of the table gives them for all names."""
    table = read_nas_bench_macro(shared_data / "nas_bench_macro_half.json")
    expected = {"params": 0.216, "MACs": 0.559, "layer count": 0.689}
    rows = baselines(table)
    for name, tau in expected.items():
        found = kendall_tau_b(rows[name][0], table.accuracies)
        assert found == pytest.approx(tau, abs=6e-4)
    assert len(table) == 3355 and len(table.first_of_network) == 1984


def test_the_limits_of_the_public_table(shared_data, capsys):
    table = shared_data / "nas_bench_macro_half.json"
    assert limits.main([f"--table={table}"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "networks: 1984",
        "tau-b between two trainings: 0.879",
        "tau-b of the sum over layers that fits their accuracies best: 0.854",
        f"tau-b of the sum over layers that fits their ranks best: {LIMIT}",
    ]


def cell_table(path, rng):
    return write_rows(path, rows_of(some_cells(rng), rng))


def macro_table(path, rng):
    return write_table(path, some_names(rng), rng)


@pytest.mark.parametrize(
    ("benchmark", "shape", "write", "further"),
    [
        ("nas_bench_macro", (8, 3), macro_table, set()),
        ("nas_bench_201", (6, 5), cell_table, {"cifar100", "imagenet16_120"}),
    ],
)
def test_a_stored_indicator_alone(
    tmp_path, rng, capsys, benchmark, shape, write, further
):
    table, indicator = write(tmp_path / "table", rng), tmp_path / "indicator.npz"
    method = {"score": "sum", "layer_indicator": "plain"}
    Indicator(rng.random(shape), {}, {"method": method}).save(indicator)
    flags = [f"--benchmark={benchmark}"]
    flags += [f"--indicator={indicator}", f"--table={table}"]
    assert judge.main([*flags, f"--output={tmp_path / 'out'}"]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == json.loads((tmp_path / "out" / "result.json").read_text())
    for name in ("tau_b", "spearman", "tau_b_interval", "spearman_interval", "n"):
        assert printed[name] is not None
    for name in ("scores.csv", "scatter.png", "scores.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0
    assert set(printed["data_sets"]) == further
    for row in printed["data_sets"].values():
        assert row["tau_b"] != printed["tau_b"] and row["regret"]


def test_a_name_without_a_score_ranks_last(tmp_path, rng):
    table = read_nas_bench_macro(macro_table(tmp_path / "t.json", rng))[np.arange(3)]
    scored = [Scored(np.array([0.5, np.nan, -3.0]), None, {}, {}, {})]
    ranking = Ranking("", table.space, table, scored, {})
    assert ranking.scores[0].argsort().tolist() == [1, 2, 0]


def test_kept_quantities_are_those_of_the_result(tmp_path, rng):
    table = read_nas_bench_macro(write_table(tmp_path / "t.json", some_names(rng), rng))
    scores = table.accuracies + rng.normal(size=(2, len(table)))
    result = {
        **evaluation(scores, table),
        "command": "c, d",
        "machine": "m",
        "versions": {"jax": "1"},
        "seconds": [
            {"supernet": 2.0, "scoring": 1.0},
            {"supernet": 4.0, "scoring": 1.0},
        ],
        "images": [{"supernet": 7, "scoring": 0}, {"supernet": 7, "scoring": 0}],
        "other_scores": {"gamma sum": {"tau_b": 0.5}},
    }
    rows = {"row": results.quantities(result)}
    rows |= results.null_quantities(judge.null_rows(table))
    results.write(rows, "b", tmp_path)
    assert results.load("b", tmp_path) == rows
    kept = rows["row"]
    assert float(kept["tau_b"].value) == pytest.approx(result["tau_b"], rel=1e-5)
    bounds = [float(kept["tau_b"].low), float(kept["tau_b"].high)]
    assert bounds == pytest.approx(result["tau_b_interval"], rel=1e-5)
    assert kept["seconds of training"].value == "3"
    assert kept["images of training"].value == "7"
    assert kept["command"].value == "c, d"


def test_a_row_without_numbers_is_named_as_such():
    kept = {"sgd": results.load(judge.BENCHMARK)["sgd"]}
    (line,) = (x for x in page.page(kept).splitlines() if x.startswith("Not run:"))
    assert ROWS["paper"].title in line and ROWS["sgd"].title not in line


def test_a_curve_is_rows_of_equal_images():
    """The methods of a page are compared at so many images through a path."""
    for name, curve in CURVES.items():
        assert set(curve.rows(name)) <= set(ROWS)


def test_the_picture_has_every_curve_under_its_name():
    kept = results.load(judge.BENCHMARK)
    (axes,) = learning_curves(kept).axes
    containers: Any = axes.containers
    drawn = [len(container.lines[0].get_xdata()) for container in containers]
    assert drawn == [len(rows) for rows in curve_rows(kept).values()] != []
    labels = {text.get_text() for text in axes.texts}
    assert {CURVES[name].label for name in curve_rows(kept)} < labels


@pytest.mark.parametrize(
    "flags",
    [[], ["--data=a", "--indicator=b"], ["--data=a", "--method=none"]]
    + [["--data=a", "--networks=1"], ["--data=a", "--seeds=x"]]
    + [["--data=a", "--updates=0"], ["--indicator=absent.npz"]]
    + [["--data=a", "--config.method.score=best"], ["--data=a", "--validation=0"]]
    + [["--columns=absent"], ["--columns=absent", "--combine=sum_log_rank:swap"]]
    + [["--columns=absent", "--combine=sum_log_rank:swap", "--config.seed=1"]],
)
def test_bad_flags_are_one_line(tmp_path, flags, rng, capsys):
    table = write_table(tmp_path / "t.json", some_names(rng), rng)
    words = [f"--table={table}", f"--workdir={tmp_path / 'runs'}", *flags]
    assert judge.main(words) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and error[0].startswith("error: ")
    assert not (tmp_path / "runs").exists()


def test_a_paired_difference_is_that_of_the_same_networks(tmp_path, rng):
    """The null itself differs from the null by nothing; the truth by what it lacks."""
    table = read_nas_bench_macro(macro_table(tmp_path / "t.json", rng))
    table = table[table.first_of_network]
    null = baselines(table)[paired.NULL][0]
    same = paired.compared(null[None], table)
    assert "difference +0.000 [+0.000, +0.000]" in same
    truth = paired.compared(np.stack([table.accuracies] * 2), table)
    assert truth.split("; ")[1] == "1.000, 1.000"
    low = float(truth.rpartition("[")[2].partition(",")[0])
    assert low > 0
    assert len({*paired.unseen(table)}) == len(paired.unseen(table))
    assert len(paired.unseen(table)) == len(table) - len(table) // 2
