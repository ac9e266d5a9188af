"""What a stage wrote is what it left: checksums of artefacts, and damaged markers."""

import json
import os
import shutil

import pytest

from difnas_jax.config.stages import BY_DEFAULT, STAGES
from difnas_jax.errors import InputError
from difnas_jax.main import main
from difnas_jax.runtime import artifacts, files, locks, markers

SMALL = "--config=benchmarks/kills/small_run.py"
pytestmark = pytest.mark.usefixtures("at_the_root")


@pytest.fixture
def workdir(small_run, tmp_path):
    """A copy of a finished run."""
    return shutil.copytree(small_run, tmp_path / "run")


def snapshot(workdir):
    """Name, time and bytes of all that stages write."""
    of_runs = ("config.json", artifacts.DATA, locks.LOCK)
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in workdir.rglob("*")
        if path.is_file() and path.name not in of_runs
    }


def refused(workdir, capsys, *named):
    """The line of a run that must be refused; nothing is touched."""
    before = snapshot(workdir)
    assert main([SMALL, f"--workdir={workdir}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(text in line for text in named), line
    assert snapshot(workdir) == before
    return line


def flip_first_digit(path):
    """Change one digit of a file, which stays well-formed."""
    content = bytearray(path.read_bytes())
    place = next(i for i, byte in enumerate(content) if byte in b"0123456789")
    content[place] ^= 1
    path.write_bytes(content)


def test_every_artefact_has_its_checksum(small_run):
    """All but checkpoints, which have their own, and events, which nothing reads."""
    known = set()
    for name in BY_DEFAULT:
        marker = markers.read_marker(small_run, name, STAGES[name].writes)
        known |= marker["outputs"].keys()
    written = {str(path.relative_to(small_run)) for path in snapshot(small_run)}
    others = ("/checkpoints/", "/events.out.tfevents.", "stages/")
    assert known == {p for p in written if not any(part in p for part in others)}


def test_a_changed_artefact_is_named_and_nothing_is_deleted(workdir, capsys):
    for name in ("supernet", "indicator", "search", "retrain"):
        for artefact in markers.read_marker(workdir, name)["outputs"]:
            path = workdir / artefact
            content = path.read_bytes()
            flip_first_digit(path)
            refused(workdir, capsys, str(path), f"stage {name}")
            path.write_bytes(content)
    (workdir / artifacts.BEST).write_bytes(b"")
    refused(workdir, capsys, artifacts.BEST)
    assert (workdir / artifacts.RETRAIN_RESULT).exists()


def test_the_advice_about_a_changed_artefact_works(small_run, workdir, capsys):
    """Deleted, it is made again, and what was made from it stays."""
    path = workdir / artifacts.BEST
    path.write_text(path.read_text() + " ")
    assert "delete it" in refused(workdir, capsys, artifacts.BEST)
    path.unlink()
    assert main([SMALL, f"--workdir={workdir}"]) == 0
    assert path.read_bytes() == (small_run / artifacts.BEST).read_bytes()
    out = capsys.readouterr().out
    assert "search: running" in out and "retrain: complete, skipped" in out


def test_a_changed_report_is_written_again(workdir, capsys):
    """Nothing depends on it; the supernet that it shows has lost its rows."""
    before = snapshot(workdir)
    (workdir / artifacts.FIGURES / "search.svg").unlink()
    flip_first_digit(workdir / artifacts.REPORT)
    assert main([SMALL, f"--workdir={workdir}"]) == 0
    out = capsys.readouterr().out
    assert "search.svg is missing or was changed" in out and "report: running" in out
    after = snapshot(workdir)
    for name in ("report.html", "figures/search.svg"):
        assert after[workdir / name][1] == before[workdir / name][1]
    metrics = workdir / artifacts.SUPERNET_METRICS
    flip_first_digit(metrics)
    assert "without the rows" in refused(workdir, capsys, str(metrics))
    metrics.unlink()
    assert main([SMALL, f"--workdir={workdir}"]) == 0
    results = files.read_json(workdir / artifacts.RESULTS)
    assert any("no row of the steps 1 to" in text for text in results["warnings"])


@pytest.mark.parametrize("content", [b'{"config": 1}', None])
def test_the_advice_about_a_damaged_marker_works(workdir, capsys, content):
    """Delete the marker and what its stage wrote, and the stage runs again."""
    path = markers.marker_path(workdir, "supernet")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    line = refused(workdir, capsys, str(path), "supernet/checkpoints")
    advice = line.partition("delete ")[2].partition(" to run supernet again")[0]
    for name in advice.replace(" and ", ", ").split(", "):
        if (there := workdir / name).is_dir():
            shutil.rmtree(there)
        else:
            there.unlink(missing_ok=True)
    assert main([SMALL, f"--workdir={workdir}", "--config.stages=supernet"]) == 0


def test_a_stage_of_another_version_is_said(workdir, capsys):
    marker = markers.read_marker(workdir, "indicator")
    marker["versions"]["difnas_jax"] = "0.0.1"
    markers.write_marker(workdir, marker)
    assert main([SMALL, f"--workdir={workdir}"]) == 0
    out = capsys.readouterr().out
    assert "indicator: complete, skipped, of difnas_jax 0.0.1" in out
    assert out.count("of difnas_jax") == 1


def test_a_changed_state_of_a_search_does_not_win(workdir, capsys):
    path = workdir / artifacts.SEARCH_STATE
    marker = markers.read_marker(workdir, "search")
    markers.write_marker(workdir, {**marker, "complete": False, "outputs": {}})
    state = json.loads(path.read_text())
    state["evolution"]["algorithm"]["columns"]["score"][0] = 1e9
    path.write_text(json.dumps(state))
    assert main([SMALL, f"--workdir={workdir}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line and "was changed" in line
    path.unlink()
    assert main([SMALL, f"--workdir={workdir}"]) == 0


def test_a_checked_file_is_read_as_it_was_written(tmp_path):
    value = {"b": [1, 2.5, None], "a": {"x": "\u00e9", "y": float("inf")}}
    files.write_checked_json(tmp_path / "a.json", value)
    assert files.read_checked_json(tmp_path / "a.json", ("b",)) == value
    flip_first_digit(tmp_path / "a.json")
    with pytest.raises(InputError, match="a.json.*was changed"):
        files.read_checked_json(tmp_path / "a.json")


def fifo(outside, path):
    """A pipe of that name."""
    os.mkfifo(path)


@pytest.mark.parametrize("link", [os.symlink, os.link, fifo])
def test_a_lock_that_is_another_file_is_not_written(tmp_path, link):
    outside, workdir = tmp_path / "outside", tmp_path / "run"
    outside.write_text("precious")
    workdir.mkdir()
    link(outside, workdir / locks.LOCK)
    with pytest.raises(InputError, match="lock: expected a file of no other name"):
        with locks.locked(workdir):
            pass
    assert outside.read_text() == "precious"
