"""What is shown while something lasts: by time, in few fields, and never nothing."""

import io
import sys
import threading
import time

import numpy as np
import pytest
from jobs import threads

from difnas_jax.config import default
from difnas_jax.runtime import metrics, progress
from difnas_jax.runtime.progress import Progress, working
from difnas_jax.training.log import TrainingLog


@pytest.fixture
def clock(monkeypatch):
    """`clock.now` is the time; it stands still."""

    class Clock:
        now = 100.0

    for module in (metrics, progress):
        monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    return Clock


def test_silence_is_broken_by_the_innermost_work(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SILENCE", 0.05)
    before = threads()
    with working("the run"):
        with working("reading"):
            time.sleep(1)
        time.sleep(1)
    names = [line.partition(" for ")[0] for line in capsys.readouterr().out.split("\n")]
    assert "reading" in names and "the run" in names
    assert names.index("reading") < names.index("the run")
    assert threads() <= before
    time.sleep(0.1)
    assert capsys.readouterr().out == ""


def test_who_speaks_is_not_interrupted(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SILENCE", 4.0)
    with working("the run"):
        for number in range(45):
            metrics.say(f"line {number}")
            time.sleep(0.1)
    assert "the run" not in capsys.readouterr().out


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_no_thread_and_no_work(error):
    before = threads()
    with pytest.raises(error), working("the run"), working("reading"):
        raise error
    assert threads() <= before and not progress._under_way


def test_no_silence_is_longer_than_ten_seconds():
    assert progress.BETWEEN_LINES < progress.SILENCE < 10


def test_progress_needs_no_thread():
    """Not even that of tqdm, which other bars of the process may have started."""
    before = {thread.ident for thread in threading.enumerate()}
    Progress("work", total=1, done=0, unit="updates").finish()
    assert {thread.ident for thread in threading.enumerate()} <= before


def test_lines_come_by_time_and_not_by_count(capsys, clock):
    shown = Progress("work", total=1000, done=0, unit="updates")
    for _ in range(100):
        shown.step()
    assert capsys.readouterr().out == ""
    clock.now += 10
    shown.step()
    # The first step compiles: 100 others took 10 seconds.
    assert capsys.readouterr().out == "work 101/1000  10 updates/s  eta 01:29\n"
    clock.now += 7
    shown.step()
    assert capsys.readouterr().out == ""
    clock.now += 3
    shown.step(values=lambda: {"best": "7"})
    line = capsys.readouterr().out
    assert line == "work 103/1000  best 7  5.1 updates/s  eta 02:55\n"


def test_the_last_line_needs_no_remaining_time_and_the_first_no_rate(capsys, clock):
    shown = Progress("work", total=1, done=0, unit="updates")
    shown.step()
    shown.finish()
    assert capsys.readouterr().out == "work 1/1\n"


def test_earlier_work_does_not_count_in_the_rate(capsys, clock):
    shown = Progress("work", total=130, done=100, unit="updates")
    shown.step()
    clock.now += 10
    shown.step(units=10)
    assert "work 111/130  1 updates/s  eta 00:19\n" == capsys.readouterr().out


def test_a_terminal_has_a_bar_whose_movement_is_a_sign_of_life(monkeypatch, clock):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    shown = Progress("work", total=3, done=0, unit="updates")
    clock.now += 2
    shown.step(values=lambda: {"loss": "1.5"})
    assert metrics.seconds_of_silence() == 0
    shown.finish()
    assert "loss 1.5" in terminal.getvalue()


@pytest.fixture
def log(tmp_path, clock):
    """Of a training of 1,000 updates, 4 of them before."""
    folder = tmp_path / "supernet"
    folder.mkdir()
    settings = default().supernet
    steps = range(4, 1000)
    return TrainingLog(folder, settings, steps, images=64, unwritten=[])


def test_a_line_of_a_training_has_five_fields(log, clock, capsys):
    for step in range(3):
        clock.now += 5
        loss = np.float32(step)
        row = {"loss": loss, "accuracy": loss / 4, "gradient_norm": loss}
        log.add({**row, "parameter_norm": loss})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.split("  ") == [
        "supernet 6/1000",
        "loss 0.5",
        "accuracy 12.5%",
        "learning rate 0.03",
        "0.2 updates/s",
        "eta 1:22:50",
    ]


def test_what_is_shown_does_not_change_what_is_written(log, clock):
    for step in range(3):
        clock.now += 10
        log.add({"loss": np.float32(step), "accuracy": np.float32(0)})
    log.check(7, "none")
    assert log.row(7)["loss"] == 1.0 and log.row(7)["step"] == 7


def test_an_evaluation_has_a_line(log, capsys):
    for step, found in ((5, 0.25), (6, 0.125)):
        log.write({"step": step, "validation_accuracy": found})
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" 25.00%, the best so far 25.00%")
    assert second == "supernet 6: validation accuracy 12.50%, the best so far 25.00%"
