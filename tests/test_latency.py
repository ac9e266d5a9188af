"""The command that measures latency, and runs under a bound on it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from search_problems import every_architecture
from test_latency_costs import SPACE, table_of

from difnas_jax.commands import latency as command
from difnas_jax.config import load_config
from difnas_jax.config.build import build_costs, build_space
from difnas_jax.deployment import latency
from difnas_jax.errors import InputError
from difnas_jax.main import main
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime.latency_table import LatencyTable
from difnas_jax.spaces.costs import LATENCY, MACS

ROOT = Path(__file__).parents[1]
SMALL = f"--config={ROOT / 'benchmarks' / 'kills' / 'small_run.py'}"
TINY = f"--config={ROOT / 'tests' / 'tiny_run.py'}"


def test_the_command_measures_every_op(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(latency, "ROUNDS", 2)
    flags = [TINY, "--batch=2", "--device=cpu", "--config.compilation_cache="]
    path = tmp_path / "latency.json"
    assert command.main([*flags, f"--to={path}"]) == 0
    printed = capsys.readouterr().out
    assert "other networks" in printed and str(path) in printed
    config = load_config(TINY.partition("=")[2])
    config.search.latency = str(path)
    costs, table = build_costs(config), LatencyTable.read(path)
    reduction, normal = table.layers
    assert reduction.keys() == {"k3e3"} and normal["identity"]["ms"] == 0
    for row in (reduction["k3e3"], normal["k3e3"]):
        assert 0 < row["low"] <= row["ms"] <= row["high"]
    fitted, held_out = table.facts["networks"]
    for row in (fitted, held_out):
        ms = costs.of_one(row["architecture"])[LATENCY]
        assert ms == pytest.approx(row["predicted_ms"], rel=1e-3)
    error = abs(held_out["predicted_ms"] / held_out["ms"] - 1)
    assert table.facts["held_out"]["largest_error"] == pytest.approx(error)
    for fact in ("processor", "versions", "provenance", "layout"):
        assert table.facts[fact]
    assert (table.facts["batch"], table.facts["seed"]) == (2, 0)
    # One that is interrupted leaves the file as it was.
    before = path.read_bytes()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(latency, "timed", interrupted)
    assert command.main([*flags, f"--to={path}"]) == 130
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_the_device_is_the_one_that_jax_takes(monkeypatch) -> None:
    """`gpu` stands for several platforms, most of which are absent on any machine."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    command._take_device("gpu")
    with pytest.raises(InputError, match="^--device: expected gpu.* got tpu"):
        command._take_device("tpu")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ([], "--config"),
        ([TINY, "--batch=0"], "--batch"),
        ([TINY, "--dtype=float16"], "float16"),
        ([TINY, "--device=abacus"], "abacus"),
        ([TINY, "--device=tpu"], "--device"),
        ([TINY, "--to=nowhere/latency.json"], "--to"),
        ([TINY, "--to=."], "--to"),
        ([TINY, "--to=/dev/null"], "--to"),
        ([TINY, "--config.space.image_size=0"], "space.image_size"),
    ],
)
def test_bad_flags_of_the_command_are_one_line(flags, named, capsys) -> None:
    assert command.main(flags) == 2
    jax.config.update("jax_platforms", "cpu")  # as for all tests
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and named in line


@pytest.fixture(scope="module")
def searched(small_run: Path, tmp_path_factory: pytest.TempPathFactory):
    """A workdir with a named search under a bound on latency, its table, the bound."""
    folder = tmp_path_factory.mktemp("searched")
    workdir, path = folder / "run", folder / "latency.json"
    shutil.copytree(small_run, workdir)
    config = load_config(SMALL.partition("=")[2])
    table = table_of(build_space(config))
    table.save(path)
    every = table.costs(table.space).of(every_architecture(table.space))[LATENCY]
    bound = float(np.round(np.median(every), 3))
    flags = [SMALL, f"--workdir={workdir}", "--config.search.name=fast"]
    flags += [f"--config.search.max_latency_ms={bound}"]
    flags += ["--config.stages=indicator,search,report"]
    assert main([*flags, f"--config.search.latency={path}"]) == 0
    return flags, workdir / artifacts.SEARCHES / "fast", path, bound


def test_a_run_finds_a_network_within_a_bound(searched) -> None:
    _, workdir, path, bound = searched
    best = files.read_json(workdir / artifacts.BEST)
    table = LatencyTable.read(path)
    costs = table.costs(table.space)
    assert best["costs"] == costs.of_one(best["architecture"])
    assert best["costs"][LATENCY] <= bound == best["budget"]["max_latency_ms"]
    assert type(best["costs"][MACS]) is int
    candidates = artifacts.load_candidates(workdir / artifacts.CANDIDATES)
    assert (candidates.columns[LATENCY] <= bound).all()
    # The front of latency, exact and up to the bound.
    front = artifacts.load_candidates(workdir / artifacts.EXACT_FRONT)
    assert (np.diff(front.columns[LATENCY]) < 0).all()  # the best first
    assert (np.diff(front.scores) < 0).all()
    assert front.scores.max() == candidates.scores.max()
    results = json.loads((workdir / artifacts.RESULTS).read_text())
    assert results["costs"] == best["costs"]
    page = (workdir / artifacts.REPORT).read_text()
    assert "latency (ms)" in page and "predicted latency (ms)" in page
    assert "(abacus), batch 1" in page and "error 2.0% in the mean" in page
    parent = (workdir.parents[1] / artifacts.REPORT).read_text()
    assert f"≤ {bound:.3g} ms" in page and f"≤ {bound:.3g} ms" in parent


def test_a_table_counts_by_its_content(searched, tmp_path: Path, capsys) -> None:
    flags, workdir, path, _ = searched
    # The run keeps a copy, with which it goes on wherever it is.
    moved = tmp_path / "moved.json"
    shutil.copy(workdir / artifacts.LATENCY, moved)
    for table in (moved, workdir / artifacts.LATENCY):
        assert main([*flags, f"--config.search.latency={table}"]) == 0
        assert "search: complete, skipped" in capsys.readouterr().out
    # Where the file of the user is gone, that copy is taken.
    gone = "--config.search.latency=gone.json"
    assert main([*flags, gone, "--config.stages=report"]) == 0
    assert "report: complete, skipped" in capsys.readouterr().out
    assert main([*flags, gone, "--dry-run"]) == 0
    capsys.readouterr()
    values = LatencyTable.read(path)
    cheaper = values.correction._replace(fixed_ms=0.1)
    dataclasses.replace(values, correction=cheaper).save(moved)
    assert main([*flags, f"--config.search.latency={moved}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "search.latency.checksum" in line


def test_bad_tables_and_bounds_are_one_line(searched, tmp_path: Path, capsys) -> None:
    *_, path, _ = searched
    other, cut, changed = (
        tmp_path / f"{name}.json" for name in ("o", "cut", "changed")
    )
    table_of(SPACE).save(other)
    cut.write_bytes(path.read_bytes()[:40])
    changed.write_text(path.read_text().replace('"fixed_ms": 0.3', '"fixed_ms": 0.2'))
    space, most = "--config.space.image_size=16", "--config.search.max_latency_ms"
    for bad, *named in (
        ([f"--config.search.latency={other}"], "search.latency", "'small'"),
        ([f"--config.search.latency={cut}"], "search.latency", "cut.json"),
        ([f"--config.search.latency={changed}"], "changed.json"),
        ([f"--config.search.latency={path}", space], "16 x 16", "8 x 8"),
        ([f"--config.search.latency={path}", f"{most}=0.01"], "0.01", "latency_ms"),
        (
            [f"--config.search.latency={path}", "--config.search.min_latency_ms=99"],
            "search.min_latency_ms",
            "99",
        ),
        (["--config.search.objectives=score,latency_ms"], "search.objectives"),
    ):
        workdir = tmp_path / "run"
        assert main([SMALL, f"--workdir={workdir}", *bad]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and all(text in line for text in named), line
        assert not workdir.exists()


def test_without_a_table_nothing_of_latency_is_written(small_run: Path) -> None:
    best = files.read_json(small_run / artifacts.BEST)
    assert best["costs"].keys() == {"macs", "params"}
    assert {
        type(value) for value in (*best["costs"].values(), *best["budget"].values())
    } == {int}
    assert LATENCY not in (small_run / artifacts.CANDIDATES).read_text()
    assert not (small_run / artifacts.LATENCY).exists()
    assert LATENCY not in str(best["budget"])


def test_a_dry_run_says_what_a_bound_allows(searched, capsys) -> None:
    flags, *_, path, bound = searched
    assert main([*flags, f"--config.search.latency={path}", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert f"search.max_latency_ms = {bound:,}; allows" in printed
    assert " ms\n" in printed and "(abacus), batch 1, float32" in printed
