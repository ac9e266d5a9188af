"""Several questions to one supernet: named searches, and that of another run."""

import os
import shutil
from pathlib import Path

import pytest

import difnas_jax
from difnas_jax.config import load_config
from difnas_jax.errors import InputError
from difnas_jax.main import main
from difnas_jax.runtime import artifacts, files

ROOT = Path(__file__).parents[1]
SMALL = "--config=benchmarks/kills/small_run.py"
NAME, SUPERNET = "--config.search.name", "--config.search.supernet"
BUDGET = "--config.search.max_macs=200000"


pytestmark = pytest.mark.usefixtures("at_the_root")


@pytest.fixture(scope="module")
def searched(small_run, tmp_path_factory):
    """A finished run, and a second search of its supernet."""
    workdir = shutil.copytree(small_run, tmp_path_factory.mktemp("searched") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        assert main([SMALL, f"--workdir={workdir}", f"{NAME}=small", BUDGET]) == 0
    return workdir


def contents(folder):
    """Bytes by relative path of a folder, without the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def error_of(flags, capsys):
    assert main([SMALL, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_each_search_has_a_network_within_its_own_budget(searched):
    own, small = (
        files.read_json(folder / artifacts.RESULTS)
        for folder in (searched, searched / "searches" / "small")
    )
    assert small["costs"]["macs"] <= 200_000 < own["costs"]["macs"]
    assert small["budget"]["max_macs"] == 200_000
    assert small["test_accuracy"] is not None
    assert small["supernet_accuracy"] == own["supernet_accuracy"] is not None
    assert own["seconds"]["supernet"] == small["seconds"]["supernet"]
    assert not (searched / "searches" / "small" / "supernet").exists()
    for name, found in (("", own), ("small", small)):
        assert difnas_jax.load(searched, search=name).costs == found["costs"]
    with pytest.raises(InputError, match="search: expected one of small, got 'x'"):
        difnas_jax.load(searched, search="x")


def test_the_report_lists_the_searches(searched):
    own = files.read_json(searched / artifacts.RESULTS)
    (row,) = own["searches"]
    assert row["name"] == "small" and row["macs"] <= 200_000
    page = (searched / artifacts.REPORT).read_text()
    assert "searches/small/report.html" in page


def test_nothing_is_done_twice(searched, capsys):
    before = contents(searched)
    for flags in ([], [f"{NAME}=small", BUDGET]):
        assert main([SMALL, f"--workdir={searched}", *flags]) == 0
        assert "running" not in capsys.readouterr().out
    after = contents(searched)
    assert after == before


def test_the_config_of_the_caller_stays_as_it_is(searched):
    config = load_config(SMALL.removeprefix("--config="))
    config.search.update(name="small", max_macs=200_000)
    given = config.to_dict()
    assert difnas_jax.run(config, searched).workdir == searched / "searches" / "small"
    assert config.to_dict() == given


def test_the_supernet_of_another_run_gives_the_same(searched, tmp_path):
    """And nothing is written into that run."""
    before, workdir = contents(searched), tmp_path / "own"
    flags = [f"{SUPERNET}={searched}", BUDGET, "--config.stages=indicator,search"]
    assert main([SMALL, f"--workdir={workdir}", *flags]) == 0
    there = searched / "searches" / "small"
    for name in (artifacts.INDICATOR, artifacts.BEST, artifacts.CANDIDATES):
        assert (workdir / name).read_bytes() == (there / name).read_bytes()
    assert contents(searched) == before


def test_a_name_searches_what_the_run_in_the_workdir_searched(
    searched, tmp_path, capsys
):
    """Also where that is the supernet of another run: none is trained."""
    stages = "--config.stages=indicator,search"
    flags = [f"--workdir={tmp_path / 'own'}", stages]
    relative = os.path.relpath(searched)
    assert main([SMALL, *flags, f"{SUPERNET}={relative}"]) == 0
    kept = files.read_json(tmp_path / "own" / "config.json")["search"]["supernet"]
    assert os.path.isabs(kept) and os.path.samefile(kept, searched)
    assert main([SMALL, *flags, f"{NAME}=small", BUDGET]) == 0
    assert f"of the supernet in {kept}" in capsys.readouterr().out
    found = (tmp_path / "own" / "searches" / "small" / artifacts.BEST).read_bytes()
    assert found == (searched / "searches" / "small" / artifacts.BEST).read_bytes()


def test_a_name_alone_trains_the_supernet_first(searched, tmp_path):
    workdir = tmp_path / "run"
    stages = "--config.stages=supernet,indicator,search"
    flags = [f"{NAME}=small", BUDGET, stages]
    assert main([SMALL, f"--workdir={workdir}", *flags]) == 0
    trained = files.read_json(workdir / artifacts.SUPERNET_RESULT)["checksum"]
    assert trained == files.read_json(searched / artifacts.SUPERNET_RESULT)["checksum"]
    found = (workdir / "searches" / "small" / artifacts.BEST).read_bytes()
    assert found == (searched / "searches" / "small" / artifacts.BEST).read_bytes()
    assert not (workdir / "searches" / "small" / "supernet").exists()


def test_what_a_named_search_cannot_do_is_said(searched, tmp_path, capsys):
    workdir = f"--workdir={shutil.copytree(searched, tmp_path / 'run')}"
    line = error_of([workdir, BUDGET], capsys)
    assert "search.max_macs" in line and f"{NAME}=NAME" in line
    line = error_of([workdir, f"{NAME}=small", f"{BUDGET}1"], capsys)
    assert "search.max_macs" in line and f"{NAME}=NAME" in line
    line = error_of(
        [workdir, f"{NAME}=b", "--config.supernet.learning_rate=0.5"], capsys
    )
    assert "supernet.learning_rate" in line and NAME not in line
    for name in ("../up", "a/b", ".", ".hidden", "a b"):
        assert "search.name" in error_of([workdir, f"{NAME}={name}"], capsys)
    line = error_of([f"{NAME}=small"], capsys)
    assert "--workdir" in line
    none = tmp_path / "none"
    line = error_of(
        [f"--workdir={none}", f"{NAME}=a", "--config.search.max_macs=9"], capsys
    )
    assert "search.max_macs" in line
    line = error_of([f"--workdir={none}", f"{SUPERNET}={tmp_path}"], capsys)
    assert "search.supernet" in line and str(tmp_path) in line
    for flag in (f"{SUPERNET}={searched}", f"{NAME}=a"):
        flags = [f"--workdir={none}", flag, "--config.stages=supernet"]
        assert "stages after the supernet's" in error_of(flags, capsys)
    line = error_of([f"--workdir={none}", "--config.stages=search"], capsys)
    assert "expected indicator among" in line
    assert not none.exists()
