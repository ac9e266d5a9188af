"""The searches that are judged by a table, and random search beside them."""

import itertools
import json

import numpy as np
import pytest
from macro_tables import some_names, write_table

from benchmarks.evidence import searches
from benchmarks.evidence.search_page import Cell
from benchmarks.evidence.search_rows import SEARCHES
from benchmarks.evidence.search_scores import Inputs, Scored, ranked
from difnas_jax.ranking.tables import read_nas_bench_macro


@pytest.fixture
def inputs(tmp_path, rng):
    path = write_table(tmp_path / "t.json", some_names(rng, 200), rng)
    table = read_nas_bench_macro(path)
    return Inputs("none.npz", path, table[table.first_of_network], tmp_path, tmp_path)


def test_the_best_of_some_random_networks(rng):
    """All draws of n different networks, one by one."""
    accuracies = rng.uniform(80, 95, 7)
    for trainings in range(1, 8):
        best = [max(some) for some in itertools.combinations(accuracies, trainings)]
        expected = np.mean(best), np.std(best)
        found = searches.best_of(accuracies, trainings)
        assert found == pytest.approx(expected, abs=1e-9)


def test_a_search_by_true_accuracies_finds_the_best_within_each_budget(inputs):
    table = inputs.table
    scores = np.tile(table.accuracies, (len(inputs.budgets), 1))
    lines = [*searches.found_networks(Scored(scores), inputs)]
    best = {
        line["budget"]: line["accuracy"] for line in searches.random_searches(inputs)
    }  # the last line of a budget: all networks are trained
    assert {line["budget"]: line["cifar10"] for line in lines} == pytest.approx(
        best, abs=1e-4
    )
    for line, budget in zip(lines, inputs.budgets, strict=True):
        row = table.index == line["index"]
        assert table.costs["macs"][row] <= budget


def test_a_search_does_not_choose_what_it_did_not_look_at(inputs):
    scores = np.full((len(inputs.budgets), len(inputs.table)), np.nan)
    cheapest = inputs.table.costs["macs"].argmin()
    scores[:, cheapest] = -1.0
    lines = searches.found_networks(Scored(scores), inputs)
    assert {line["index"] for line in lines} == {int(inputs.table.index[cheapest])}


def test_counting_gives_a_score_to_every_network_under_every_budget(inputs):
    for name in ("layer_count", "macs", "reductions"):
        scored = SEARCHES["nas_bench_macro"][name].score(inputs, 0)
        assert scored.scores.shape == (len(inputs.budgets), len(inputs.table))
        assert np.isfinite(scored.scores).all() and not scored.images


def test_a_row_of_the_evidence_as_a_search(inputs, rng):
    """Two seeds have scored all networks but one."""
    folder, names = inputs.rankings / "row", inputs.table.names[1:]
    result = {
        "training_seeds": [5, 6],
        "seconds": [{"supernet": 1.0, "scoring": 2.0}] * 2,
        "images": [{"supernet": 40, "scoring": 0}] * 2,
        "data": {"image_size": 16},
    }
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(result))
    values = rng.normal(size=(len(names), 2))
    rows = [f"{name},{a},{b}" for name, (a, b) in zip(names, values, strict=True)]
    lines = ["architecture,score_0,score_1", *rows]
    (folder / "scores.csv").write_text("\n".join(lines))
    scored = ranked("row")(inputs, 6)
    for scores in scored.scores:
        np.testing.assert_array_equal(scores[1:], values[:, 1])
        assert np.isnan(scores[0])
    assert scored.seconds == 3 and scored.images == 10


def test_equal_trainings_grow_with_the_accuracy(rng):
    accuracies = rng.uniform(80, 95, 100)
    curve = {n: searches.best_of(accuracies, n)[0] for n in (1, 2, 8, 100)}
    cells = [Cell([curve[n]], curve).text() for n in curve]
    assert [int(text.split(" = ")[1]) for text in cells] == [1, 2, 8, 100]
    assert cells[-1].split(", ")[1].startswith("0.00")


@pytest.mark.parametrize(
    "flags",
    [["--benchmark=nas_bench_macro", "none"], ["--benchmark=digits"]]
    + [["--benchmark=nas_bench_201", "--table=absent.csv"]],
)
def test_bad_flags_are_one_line(tmp_path, flags, capsys):
    words = ["--data=a.npz", f"--table={tmp_path / 't'}", f"--workdir={tmp_path / 'w'}"]
    assert searches.main([*words, *flags]) == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and error[0].startswith("error: ")
    assert not (tmp_path / "w").exists()
