"""Event files show what `metrics.jsonl` has, and the gammas of the supernet."""

import io
import math
import sys

import numpy as np
import pytest
from event_files import events
from jobs import ROOT, fill
from PIL import Image

from difnas_jax.config import load_config
from difnas_jax.config.build import build_space
from difnas_jax.main import main
from difnas_jax.runtime import artifacts, files
from difnas_jax.runtime import events as writing
from difnas_jax.runtime.artifacts import Indicator
from difnas_jax.runtime.events import EventFile
from difnas_jax.training.log import TrainingLog

pytest.importorskip("tensorboardX", reason="no tensorboardX here")
SMALL = f"{ROOT}/benchmarks/kills/small_run.py"


def opened(folder, resume_step):
    file = EventFile.opened(folder, resume_step)
    assert file is not None
    return file


@pytest.mark.parametrize("stage", ["supernet", "retrain"])
def test_every_row_of_the_metrics_is_shown(small_run, stage):
    shown = {}
    for step, name, kind, value in events(small_run / stage):
        if kind == "simple_value" and "/" not in name:
            shown.setdefault(step, {"step": step})[name] = value
    rows = files.read_json_lines(small_run / stage / "metrics.jsonl")
    assert [*shown.values()] == [
        {n: v if n == "step" else np.float32(v) for n, v in row.items()} for row in rows
    ]


def test_every_generation_is_shown(small_run):
    rows = files.read_json_lines(small_run / artifacts.SEARCH_HISTORY)
    best = [e for e in events(small_run / "search" / "evolution") if e[1] == "best"]
    assert [(step, value) for step, *_, value in best] == [
        (number, np.float32(row["best"])) for number, row in enumerate(rows, start=1)
    ]


def test_the_last_gammas_are_those_of_the_indicator(small_run):
    space = build_space(load_config(SMALL))
    indicator = Indicator.load(small_run / artifacts.INDICATOR, space)
    found = events(small_run / "supernet")
    steps = sorted({step for step, *_ in found})
    last = {name: value for step, name, _, value in found if step == steps[-1]}
    for index, op in enumerate(space.ops):
        column = indicator.table[:, index]
        scales = [g for n, g in indicator.gammas.items() if n.endswith("/" + op.name)]
        assert (f"mean_gamma/{op.name}" in last) == bool(scales)
        if scales:
            mean, histogram = last[f"mean_gamma/{op.name}"], last[f"gammas/{op.name}"]
            assert mean == np.float32(column[np.isfinite(column)].mean())
            assert histogram.num == sum(histogram.bucket) == sum(map(len, scales))
            total = sum(map(np.sum, scales))
            assert math.isclose(histogram.sum, total, rel_tol=1e-6)
    drawn = [(step, value) for step, _, kind, value in found if kind == "image"]
    assert [step for step, _ in drawn] == steps
    for _, value in drawn:
        with Image.open(io.BytesIO(value.encoded_image_string)) as image:
            assert image.size == (value.width, value.height)
            assert len(np.unique(np.asarray(image))) > 10


@pytest.mark.parametrize("first", [0, 340])
def test_pictures_are_few_and_evenly_spread(tmp_path, first):
    """Those of a training that continues are those of one that was not interrupted."""
    drawn = []

    def views(step, draws):
        drawn.extend([step] * draws)
        return {"scalars": {}}

    steps, settings = range(first, 1000), load_config(SMALL).supernet
    log = TrainingLog(tmp_path, settings, steps, images=1, unwritten=[])
    for step in range(first + 20, 1001, 20):
        log.show({"step": step, "updates": 20}, step, views)
    assert drawn == [step for step in range(100, 1001, 100) if step > first]


def test_a_session_drops_what_an_earlier_one_did_later(tmp_path, monkeypatch):
    """As readers do; the names of the files have the order of the sessions."""
    clock = iter(range(100, 10_000))
    monkeypatch.setattr(writing.time, "time", lambda: next(clock))
    for resume_step, steps in ((0, (4, 8, 12)), (8, (12,)), (8, (12, 16))):
        file = opened(tmp_path, resume_step)
        for step in steps:
            file.write(step, {"resumed": resume_step, "nothing": None})
    assert [event[::3] for event in events(tmp_path)] == [
        (4, 0.0),
        (8, 0.0),
        (12, 8.0),
        (16, 8.0),
    ]


def test_without_tensorboardx_the_training_is_the_same(
    small_run, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    writing.tensorboardx.cache_clear()
    flags = [f"--config={SMALL}", f"--workdir={tmp_path}", "--config.stages=supernet"]
    assert main(flags) == 0
    assert not list(tmp_path.rglob("*tfevents*"))
    one, other = (
        files.read_json(folder / artifacts.SUPERNET_RESULT)
        for folder in (tmp_path, small_run)
    )
    assert one == other


@pytest.mark.parametrize("error", [TypeError("Descriptors\nfail"), ImportError("no")])
def test_a_broken_tensorboardx_is_one_line(tmp_path, monkeypatch, capsys, error):
    """As that of another version of protobuf is; it is said once."""

    def fails(name):
        raise error

    monkeypatch.setattr(writing, "import_module", fails)
    writing.tensorboardx.cache_clear()
    assert EventFile.opened(tmp_path, 0) is EventFile.opened(tmp_path, 0) is None
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("no events for TensorBoard") and type(error).__name__ in line


@pytest.fixture(autouse=True)
def fresh():
    """What one test makes of the installation is gone with it."""
    yield
    writing.tensorboardx.cache_clear()


def test_only_process_0_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "is_main_process", lambda: False)
    assert EventFile.opened(tmp_path, 0) is None


def test_a_full_disk_is_an_error_that_names_the_file(small_disk):
    file = opened(small_disk, 0)
    file.write(1, {"loss": 1.0})
    filler = fill(small_disk)
    with pytest.raises(OSError, match="No space left") as error:
        file.write(2, {}, pictures={"picture": bytes(10_000)})
    assert str(error.value.filename).startswith(f"{small_disk}/events.out.tfevents")
    filler.unlink()  # the file ends with half a record, and the next session continues
    opened(small_disk, 1).write(2, {"loss": 2.0})
    assert [event[::3] for event in events(small_disk)] == [(1, 1.0), (2, 2.0)]
