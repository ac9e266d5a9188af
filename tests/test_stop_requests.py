"""A request to stop is heard within seconds, wherever the program is.

`stuck_run.py` hangs where no Python runs; elsewhere see `test_nothing_lost.py`.
"""

import builtins
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from jobs import ROOT, ended, start_two

from difnas_jax import __main__ as entrance
from difnas_jax.main import main
from difnas_jax.runtime import files, shutdown
from difnas_jax.runtime.compiling import compiling

CONFIG = f"--config={ROOT}/tests/stuck_run.py"


def stuck(place, workdir):
    """A process that has come to where it never returns."""
    process = subprocess.Popen(
        [sys.executable, "-m", "difnas_jax", CONFIG, f"--workdir={workdir}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"tests:{ROOT}", "STUCK": place},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    if said != "stuck\n":
        process.kill()
    assert said == "stuck\n"
    return process


def lines_of(process):
    """What it says until its end."""
    try:
        return process.communicate(timeout=120)[1].splitlines()
    finally:
        process.kill()


def results(workdir):
    """All numbers of a retraining but times."""
    rows = files.read_json_lines(workdir / "retrain" / "metrics.jsonl")
    rows.append(files.read_json(workdir / "retrain" / "result.json"))
    times = ("seconds", "images_per_second", "data_wait")
    return [{n: v for n, v in row.items() if n not in times} for row in rows]


def test_a_stop_in_an_evaluation_loses_no_update(tmp_path, capsys):
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    process = stuck("evaluating", cut)
    process.send_signal(signal.SIGTERM)
    assert lines_of(process) == ["stopped by a signal; the same command continues"]
    assert process.returncode == os.EX_TEMPFAIL
    for workdir in (cut, whole):
        assert main([CONFIG, f"--workdir={workdir}"]) == 0
    assert capsys.readouterr().out.count("continuing from step 3") == 1
    assert results(cut) == results(whole)


def test_ctrl_c_ends_what_hangs_while_it_reads(tmp_path):
    process = stuck("reading", tmp_path)
    process.send_signal(signal.SIGINT)
    assert lines_of(process) == ["stopped; the same command continues"]
    assert process.returncode == 130


def test_of_two_processes_one_signal_ends_both(tmp_path):
    config = "tests/stuck_run.py"
    started = start_two(tmp_path, config=config, STUCK="reading")
    for process in started:
        assert process.stderr is not None
        while process.stderr.readline() != "stuck\n":
            assert process.poll() is None
    started[1].send_signal(signal.SIGTERM)
    (first, said), (second, says) = ended(started)
    assert (first, second) == (os.EX_TEMPFAIL, os.EX_TEMPFAIL)
    line = "stopped by a signal; the same command continues"
    assert said[-1] == f"process 1: {line}" and says[-1] == line


def test_updates_that_are_not_saved_are_waited_for(monkeypatch):
    """Unless another program is compiled meanwhile."""
    ended, patience = threading.Event(), 0.1
    monkeypatch.setattr(shutdown, "PATIENCE", patience)
    monkeypatch.setattr(shutdown, "LOOK_EVERY", patience / 4)
    monkeypatch.setattr(shutdown, "end_process", lambda *_: ended.set())
    with shutdown.handle_signals(), shutdown.may_end(False):
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(4 * patience)
        assert not ended.is_set()
        with compiling("a", "b"):
            assert ended.wait(10)
    ended.clear()
    with shutdown.handle_signals():
        time.sleep(4 * patience)
    assert not ended.is_set()  # nobody asked


def test_ctrl_c_while_jax_is_imported_is_one_line(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(entrance.importlib, "import_module", interrupted)
    assert entrance.main(["rank"]) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


TWICE = """
import os, signal, sys, time
from difnas_jax.runtime.shutdown import exit_code

def work():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(99)
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(99)

sys.exit(exit_code(work))
"""


def test_a_second_ctrl_c_ends_the_process_at_once():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True)
    assert done.returncode == -signal.SIGINT and done.stderr == ""


@pytest.mark.parametrize(
    ("tidying", "then", "code"),
    [(0.1, (), 130), (60.0, (signal.SIGTERM,), os.EX_TEMPFAIL)],
)
def test_after_a_ctrl_c_nothing_hangs(monkeypatch, tidying, then, code):
    """Python loses one that comes inside of a finalizer, and tidying up may hang."""
    codes, ended = [], threading.Event()
    monkeypatch.setattr(shutdown, "PATIENCE", 2.0)
    monkeypatch.setattr(shutdown, "TIDYING", tidying)
    monkeypatch.setattr(shutdown, "LOOK_EVERY", 0.02)

    def end(_, code):
        codes.append(code)
        ended.set()

    monkeypatch.setattr(shutdown, "end_process", end)

    def work():
        with shutdown.handle_signals():
            with contextlib.suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(9)
            for number in then:
                os.kill(os.getpid(), number)
            assert ended.wait(10)

    try:
        assert shutdown.exit_code(work) == 0
    finally:  # a second Ctrl-C would end this process
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert codes[0] == code


@pytest.mark.parametrize("in_notebook", [False, True])
def test_ctrl_c_is_as_before_after_a_command_and_always_in_a_notebook(
    monkeypatch, in_notebook
):
    if in_notebook:
        monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    found = []
    before = signal.getsignal(signal.SIGINT)
    assert shutdown.exit_code(lambda: found.append(signal.getsignal(2))) == 0
    assert (found[0] is before) == in_notebook
    assert signal.getsignal(signal.SIGINT) is before
