"""The command `rank`, with proxies that need no network, and files of columns."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from cell_tables import rows_of, some_cells, write_rows
from macro_tables import some_names, write_table

from difnas_jax.__main__ import main
from difnas_jax.commands import rank
from difnas_jax.commands.rank import chosen_rows
from difnas_jax.errors import InputError, require
from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.ranking.path_counts import structure
from difnas_jax.ranking.tables import TABLES, read_nas_bench_201
from difnas_jax.report import ranking
from difnas_jax.report.svg import svg
from difnas_jax.runtime import shutdown
from difnas_jax.runtime.columns import Columns, ColumnsWriter
from difnas_jax.scoring import sweep
from difnas_jax.scoring.proxies import PROXY_OF

SCORES = "ntk_condition", "nwot", "ntk_trace"
NULLS = {"params", "macs", "live_convs"}


@dataclasses.dataclass
class Measure:
    """Numbers that depend on the architecture and the seed alone."""

    seed: int
    columns: tuple[str, ...]

    def __call__(self, architectures):
        codes = architectures @ 5 ** np.arange(6)
        rng = np.random.default_rng(self.seed)
        numbers = {name: rng.normal(size=5**6)[codes] for name in self.columns}
        if "ntk_condition" in numbers:
            numbers["ntk_condition"][codes % 7 == 0] = np.nan
        return numbers

    def by_proxy(self):
        proxies = dict.fromkeys(PROXY_OF[name] for name in self.columns)
        return {
            proxy: Measure(
                self.seed, tuple(n for n in self.columns if PROXY_OF[n] == proxy)
            )
            for proxy in proxies
        }


@pytest.fixture
def rows(rng):
    return rows_of(some_cells(rng, 200), rng)


@pytest.fixture
def flags(rows, tmp_path, monkeypatch):
    def measure(config, names):
        return Measure(config.seed, tuple(names))

    monkeypatch.setattr(rank, "proxy_columns", measure)
    drawing = '<svg width="1pt" viewBox="0 0 1 1"></svg>'
    monkeypatch.setattr(ranking, "svg", lambda *_: drawing)  # which takes a second
    table = write_rows(tmp_path / "t.csv", rows)
    return ["rank", "nas_bench_201", f"--table={table}"]


def ranked(flags, workdir):
    """Run the command; the bytes of its files of columns, and its results."""
    assert main([*flags, f"--workdir={workdir}"]) == 0
    columns = [path.read_bytes() for path in sorted(workdir.glob("columns-*"))]
    return columns, json.loads((workdir / "ranking.json").read_text())


def test_what_is_measured_is_written_and_ranked(flags, rows, tmp_path, capsys):
    combined = "rank_sum:nwot+ntk_condition+live_convs"
    flags = [*flags, f"--scores={','.join(SCORES)}", "--repeats=2", "--seed=4"]
    workdir = tmp_path / "run"
    columns, results = ranked([*flags, "--combine", combined], workdir)
    assert len(columns) == 2 and columns[0] != columns[1]
    table = read_nas_bench_201(tmp_path / "t.csv")
    repeats = [Columns.read(workdir / f"columns-seed{seed}.csv") for seed in (4, 5)]
    for one in repeats:
        assert one.index.tolist() == table.index.tolist() and one.measured.all()
    assert set(results["numbers"]) == set(table.by_data_set)
    for data_set, accuracies in table.by_data_set.items():
        found = results["numbers"][data_set]
        assert set(found) == {*NULLS, *SCORES, combined}
        taus = [kendall_tau_b(one.values["nwot"], accuracies) for one in repeats]
        assert found["nwot"]["tau_b"] == pytest.approx(np.mean(taus))
        # Of a condition number smaller is better, and a missing one is worst.
        scores = [-np.nan_to_num(one.values["ntk_condition"], nan=9) for one in repeats]
        taus = [kendall_tau_b(row, accuracies) for row in scores]
        assert found["ntk_condition"]["tau_b"] == pytest.approx(np.mean(taus))
        missing = np.isnan(repeats[0].values["ntk_condition"]).sum()
        assert found["ntk_condition"]["non_finite"] == missing > 0
    assert set(results["costs"]) == {"ntk", "nwot"}
    with open(workdir / "ranking.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3 * 7
    text = (workdir / "ranking.md").read_text()
    assert text == capsys.readouterr().out[-len(text) :]
    page = (workdir / "ranking.html").read_text()
    assert page.count("<svg ") == 3 * 7 and combined in page
    # What was ranked can be ranked again, with the same numbers.
    scores = Columns.read(workdir / "scores.csv")
    assert set(scores.values) == {*NULLS, *SCORES, combined}
    name = "ntk_condition"
    np.testing.assert_array_equal(scores.values[name], repeats[0].values[name])
    again = [*flags[:3], "--csv", str(workdir / "scores.csv")]
    _, ranked_again = ranked(again, tmp_path / "again")
    alone = [*flags[:3], "--csv", str(workdir / "columns-seed4.csv")]
    _, of_one = ranked(alone, tmp_path / "alone")
    for data_set, rows_of_one in of_one["numbers"].items():
        for name, numbers in rows_of_one.items():
            assert ranked_again["numbers"][data_set][name] == numbers


def test_one_that_was_stopped_gives_the_same_bytes(flags, rows, tmp_path, monkeypatch):
    flags = [*flags, f"--scores={','.join(SCORES)}"]
    expected, results = ranked(flags, tmp_path / "whole")
    workdir, parts = tmp_path / "stopped", [0]

    def stop_after_two():
        parts[0] += 1
        if parts[0] == 3:
            raise shutdown.Stopped("stopped by a test")

    monkeypatch.setattr(shutdown, "raise_if_stop_requested", stop_after_two)
    assert main([*flags, f"--workdir={workdir}"]) == 75
    assert not list(workdir.glob("*.csv"))
    found, again = ranked(flags, workdir)
    assert found == expected and again["numbers"] == results["numbers"]
    costs = sweep.costs_beside(workdir / "columns-seed0.csv")
    for cost in costs.values():  # those of both sessions
        assert cost.sessions == 2 and cost.architectures == len(rows)
    assert set(costs) == {"ntk", "nwot"}
    # What is complete is not measured again.
    monkeypatch.setattr(rank, "proxy_columns", None)
    combined = [*flags, "--combine", "rank_sum:nwot+depth"]
    columns, last = ranked(combined, workdir)
    assert columns == expected and last["costs"] == again["costs"]


def test_what_failed_before_measuring_can_be_corrected(flags, tmp_path, monkeypatch):
    measure = rank.proxy_columns

    def of_small_crops(config, names):
        require(config.data.crop_padding < 9, "data.crop_padding", "less", "much")
        return measure(config, names)

    monkeypatch.setattr(rank, "proxy_columns", of_small_crops)
    flags = [*flags, "--scores=nwot", f"--workdir={tmp_path / 'run'}"]
    assert main([*flags, "--config.data.crop_padding=9"]) == 2
    assert main([*flags, "--config.data.crop_padding=8"]) == 0


def test_columns_that_are_counted_are_not_taken_from_a_file(flags, rows, tmp_path):
    """Null baselines are those of the table; kernels of a file are not known."""
    given = [
        {"index": row["index"], "params": n, "nwot": n} for n, row in enumerate(rows)
    ]
    path = write_rows(tmp_path / "mine.csv", given)
    combined = "rank_sum:params", "rank_sum:pool_paths"
    command = [*flags, "--csv", str(path), "--combine", *combined]
    _, results = ranked(command, tmp_path / "run")
    table = read_nas_bench_201(tmp_path / "t.csv")
    expected = kendall_tau_b(table.costs["params"], table.accuracies)
    found = results["numbers"]["cifar10"]
    for name in ("params", "rank_sum:params"):
        assert found[name]["tau_b"] == pytest.approx(expected)
    pools = structure(table.space, table.architectures)["pool_paths"]
    expected = kendall_tau_b(-pools, table.accuracies)  # fewer are better
    assert found["rank_sum:pool_paths"]["tau_b"] == pytest.approx(expected)
    assert "device" not in results["about"]
    text = (tmp_path / "run" / "ranking.md").read_text()
    assert ranking.UNMEASURED in text


def test_kernels_of_the_config_are_shown(flags, tmp_path):
    rule = "uniform_fan_in"
    flags = [*flags, "--scores=nwot,depth", f"--config.method.proxy_kernels={rule}"]
    _, results = ranked(flags, tmp_path / "run")
    assert results["about"]["method.proxy_kernels"] == rule
    assert results["about"]["method.proxy_repeats"] == 1
    lines = (tmp_path / "run" / "ranking.md").read_text().splitlines()
    nwot, depth = (
        next(line for line in lines if f"| {name} |" in line and "| larger |" in line)
        for name in ("nwot", "depth")
    )
    assert rule in nwot and rule not in depth


def test_columns_of_a_file_need_no_measurement(flags, rows, tmp_path):
    """Architectures with an empty cell are left out, and --csv takes any columns."""
    given = [{"index": row["index"], "mine": row["test_c10"]} for row in rows[::-1]]
    given[3]["mine"] = ""
    path = write_rows(tmp_path / "mine.csv", given)
    _, results = ranked([*flags, "--csv", str(path)], tmp_path / "run")
    found = results["numbers"]["cifar10"]["mine"]
    assert found["n"] == len(rows) - 1 and found["tau_b"] == pytest.approx(1)
    assert results["costs"] == {}
    # The table itself may have columns.
    table = str(tmp_path / "t.csv")
    flags = [*flags, "--csv", table, "--scores=zc_made_up"]
    _, results = ranked(flags, tmp_path / "own")
    assert "zc_made_up" in results["numbers"]["cifar100"]


def test_a_figure_has_a_panel_for_every_score(rng):
    accuracies = rng.uniform(10, 90, 50)
    scores = {
        "a" * 80: rng.normal(size=(2, 50)),
        **{f"b{n}": rng.normal(size=(1, 50)) for n in range(5)},
    }
    drawn = ranking.scatter(
        scores, accuracies, {name: {"tau_b": None} for name in scores}
    )
    titles = [figure.axes[0].get_title(loc="left") for figure in drawn]
    assert len(titles) == 6 and titles[1] == "b0: tau-b not defined"
    assert svg(drawn[0], "a").count("<image") == 1  # of all points


def test_some_architectures(rows, tmp_path, capsys):
    table = read_nas_bench_201(write_rows(tmp_path / "t.csv", rows))
    drawn = chosen_rows("20", table)
    assert len(drawn) == 20 and (np.diff(drawn) > 0).all()
    assert set(drawn) < set(chosen_rows("40", table))
    assert chosen_rows("all", table).tolist() == list(range(len(table)))
    assert table.index[chosen_rows("30:90", table)].tolist() == list(range(30, 90, 3))
    (tmp_path / "mine").write_text("9\n3\n4\n")
    assert chosen_rows(str(tmp_path / "mine"), table).tolist() == [1, 3]
    assert "1 of its numbers" in capsys.readouterr().out
    for text in ("1:", "a:b", "1", "0:1", str(tmp_path / "none")):
        with pytest.raises(InputError):
            chosen_rows(text, table)


def test_columns_survive_writing_and_reading(tmp_path, rng):
    path, names = tmp_path / "c.csv", ("a", "b")
    values = {n: rng.normal(size=5) * 10.0 ** rng.integers(-99, 99, 5) for n in names}
    values["b"][:3] = np.nan, np.inf, -np.inf
    writer = ColumnsWriter(path, names)
    index = np.array([4, 2, 9, 0, 7])
    writer.append(index[:2], ["x", "y"], {n: v[:2] for n, v in values.items()})
    assert not path.exists()
    writer = ColumnsWriter(path, names)
    assert writer.rows == 2
    writer.append(index[2:], ["z"] * 3, {n: v[2:] for n, v in values.items()})
    writer.finish()
    read = Columns.read(path)
    assert read.index.tolist() == index.tolist() and read.measured.all()
    for name in names:
        np.testing.assert_array_equal(read.values[name], values[name])
    np.testing.assert_array_equal(read.of("a", index[[3, 0]]), values["a"][[3, 0]])


# (flags, what the line names)
MALFORMED = [
    ((), "--scores"),
    (("--scores=nonsense",), "--scores", "'nonsense'", "nwot"),
    (("--scores=nwot", "--table=none.csv"), "none.csv"),
    (("--scores=nwot", "--archs=9:x"), "--archs", "'9:x'"),
    (("--scores=nwot", "--archs=half"), "--archs half", "FROM:TO", "No such file"),
    (("--scores=nwot", "--repeats=0"), "--repeats", "0"),
    (("--scores=nwot", "--seed=-1"), "--seed", "-1"),
    (("--scores=nwot", "--fit=-1"), "--fit", "-1"),
    (("--scores=nwot", "--fit=x"), "--fit", "'x'"),
    (("--scores=nwot", "--fit=1"), "--fit", "two networks", "1"),
    (("--scores=nwot", "--fit=100000"), "--fit", "two networks", "100000"),
    (("--scores=nwot", "--config.space.name=nas_bench_macro"), "--config.space.name"),
    (("--scores=nwot", "--config.data.crop_padding=65"), "data.crop_padding", "65"),
    (("--scores=nwot", "--config.data.augmentation=x"), "data.augmentation", "'x'"),
    (("--scores=nwot", "--config.method.proxy_kernels=x"), "proxy_kernels", "'x'"),
    (("--scores=nwot", "--config.method.proxy_repeats=0"), "proxy_repeats", "0"),
    (("--scores=nwot", "--config.sead=1"), "--config.sead"),
    (("--scores=nwot", "--config.seed=1"), "--config.seed", "--seed=N"),
    (("--scores=nwot", "--combine", "sum:nwot"), "--combine", "'sum:nwot'"),
    (("--scores=nwot", "--combine", "rank_sum:x"), "--combine", "'x'"),
    (("--scores=nwot", "--combine", "rank_sum:"), "--combine", "''"),
    (("--csv", "none.csv"), "none.csv", "--csv", "No such file"),
    (("--csv", "{ours}", "--data=x.npz"), "--data", "beside --csv", "x.npz"),
    (("--csv", "{ours}", "--repeats=2"), "--repeats", "beside --csv", "2"),
    (("--csv", "{ours}", "--config.seed=1"), "--config.seed=1", "beside --csv"),
    (("--csv", "{ours}", "--combine", "rank_sum:x"), "--combine", "'x'"),
    (("--csv", "{ours}", "{theirs}"), "theirs.csv", "'a'", "b"),
    (("--csv", "{nothing}"), "nothing.csv", "no column but index"),
    (("--scores=nwot", "--table={head}"), "head.csv", "no rows"),
    (("--scores=nwot", "--table={ours}"), "ours.csv", "no column arch"),
    (("--csv", "{table}", "--scores=zc_x"), "t.csv", "'zc_x'", "zc_made_up"),
    (("--csv", "{table}"), "t.csv", "could not convert"),
    (("--csv", "{empty}"), "empty.csv", "index"),
    (("--csv", "{twice}"), "twice.csv", "twice"),
    (("--csv", "{others}"), "others.csv", "0"),
]


@pytest.mark.parametrize("row", MALFORMED)
def test_bad_input_is_one_line(flags, tmp_path, capsys, row):
    given, *named = row
    texts = {
        "table": None,
        "empty": "",
        "twice": "index,a\n3,1\n3,2\n",
        "others": "index,a\n1,1\n2,2\n",
        "ours": "index,a\n0,1\n3,2\n",
        "theirs": "index,b\n0,1\n3,2\n",
        "nothing": "index\n0\n3\n",
        "head": (tmp_path / "t.csv").read_text().splitlines()[0],
    }
    paths = {name: tmp_path / f"{name}.csv" for name in texts}
    paths["table"] = tmp_path / "t.csv"
    for name, text in texts.items():
        if text is not None:
            paths[name].write_text(text)
    given = [one.format(**paths) for one in given]
    assert main([*flags, *given, f"--workdir={tmp_path / 'run'}"]) == 2
    assert not list(tmp_path.glob("run/*.json")), "nothing was measured"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    for text in named:
        assert text in line


def test_a_workdir_of_other_columns_is_refused(flags, tmp_path, capsys):
    flags = [*flags, "--scores=nwot", f"--workdir={tmp_path / 'run'}"]
    assert main(flags) == 0
    for change in ("--archs=20", "--scores=ntk_trace", "--config.data.crop_padding=7"):
        capsys.readouterr()
        assert main([*flags, change]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert change.partition("=")[0] in line and "another --workdir" in line


def test_counts_of_both_benchmarks(rng, tmp_path):
    """Nothing is replaced here: what is counted needs no images, which are missing."""
    rows = rows_of(some_cells(rng, 80), rng)
    cells = write_rows(tmp_path / "t.csv", rows)
    chain = write_table(tmp_path / "t.json", some_names(rng), rng)
    for space, table in (("nas_bench_201", cells), ("nas_bench_macro", chain)):
        flags = ["rank", space, f"--table={table}", "--scores=depth,params,pool_paths"]
        flags.append("--data=missing.npz")
        _, results = ranked(flags, tmp_path / space)
        for found in results["numbers"].values():
            assert found["depth"]["n"] == len(TABLES[space](table))
            if space == "nas_bench_macro":  # a chain has one path and no pooling
                assert found["depth"] == found["live_convs"]
                assert found["pool_paths"]["tau_b"] is None
