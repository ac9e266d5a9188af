"""The command line as a user types it, in a process of its own, on the digits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from difnas_jax import pipeline
from difnas_jax.config import default
from difnas_jax.main import default_workdir, main

ROOT = Path(__file__).parents[1]
SMALL = (
    "--config=configs/digits.py:smoke",
    "--config.supernet.batch_size=16",
    "--config.retrain.batch_size=16",
    "--config.supernet.steps=60",
    "--config.supernet.checkpoint_every=5",
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """One device, and one cache folder for all runs of this file."""
    ours = {name: v for name, v in os.environ.items() if not name.startswith("JAX_")}
    return {
        **{name: value for name, value in ours.items() if name != "XLA_FLAGS"},
        "JAX_PLATFORMS": "cpu",
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
    }


def command(*flags):
    return [sys.executable, "-m", "difnas_jax.main", *flags]


def run(environment, *flags):
    return subprocess.run(
        command(*flags), cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def unbroken(environment, tmp_path_factory):
    """(workdir, output) of a run through every stage."""
    workdir = tmp_path_factory.mktemp("unbroken")
    done = run(environment, *SMALL, f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    return workdir, done.stdout


def test_the_last_lines_say_what_was_found(unbroken):
    workdir, output = unbroken
    names = [line.split(":")[0] for line in output.splitlines()[-7:]]
    assert names == [
        *("architecture", "op indices", "MACs", "parameters"),
        *("score", "test accuracy", "report"),
    ]
    assert output.splitlines()[0] == f"workdir: {workdir}"
    assert output.splitlines()[-1] == f"report: {workdir / 'report.html'}"
    assert "supernet 60/60" in output and "eta" in output
    macs = int(output.splitlines()[-5].split(": ")[1].replace(",", ""))
    assert macs <= 2_000_000


def test_compiling_is_announced_and_kept(unbroken, environment):
    assert "supernet: compiling\nsupernet: compiled in " in unbroken[1]
    kept = Path(environment["XDG_CACHE_HOME"]) / "difnas_jax" / "compilation"
    assert list(kept.glob("jit_train_step-*"))


def test_the_same_command_again_skips_and_says_the_same(unbroken, environment):
    workdir, output = unbroken
    uncached = "--config.compilation_cache="  # changes no result
    again = run(environment, *SMALL, uncached, f"--workdir={workdir}")
    assert again.returncode == 0
    assert again.stdout.count("complete, skipped") == 5
    assert again.stdout.splitlines()[-7:] == output.splitlines()[-7:]


def test_a_killed_run_ends_with_the_same_bits(unbroken, environment, tmp_path):
    """SIGKILL in the middle of the supernet stage, then the same command again."""
    workdir = tmp_path / "killed"
    flags = (*SMALL, f"--workdir={workdir}")
    process = subprocess.Popen(
        command(*flags), cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    checkpoints = workdir / "supernet" / "checkpoints"
    deadline = time.monotonic() + 120
    while not (checkpoints / "10").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (workdir / "indicator.npz").exists()
    done = run(environment, *flags)
    assert done.returncode == 0, done.stderr
    assert "continuing from step" in done.stdout
    for name in ("indicator.npz", "search/best.json", "search/candidates.csv"):
        assert (workdir / name).read_bytes() == (unbroken[0] / name).read_bytes(), name


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "arguments are required: --config"),
        (("--config=configs/none.py",), "there is no 'configs/none.py'"),
        (("--config=README.md",), "--config: expected a Python file"),
        (("--config=tests/conftest.py",), "expected a file whose get_config"),
        (("--config=configs/digits.py:fast",), "config argument 'fast': unknown"),
        ((*SMALL, "--config.nothing=1"), "unknown field; the config has compil"),
        ((*SMALL, "--config.seed=one"), "seed: expected int, got 'one'"),
        ((*SMALL, "--wrkdir=x"), "--wrkdir=x: expected a flag"),
        ((*SMALL, "--config.seed", "1"), "--config.seed: expected a flag"),
        ((*SMALL, "--config.space.name=resnet"), "space.name: expected one of bnnas17"),
        ((*SMALL, "--config.search.max_macs=1e5"), "reaches 953600 to 4905728 macs"),
        ((*SMALL, "--config.data.source=arrays"), "data.path: expected an .npz file"),
        ((*SMALL, "--config.space.num_classes=5"), "labels: expected 0 to 4"),
        ((*SMALL, "--config.retrain.architecture=1,1"), "expected 7 op indices"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(environment, tmp_path, flags, message):
    workdir = tmp_path / "untouched"
    done = run(environment, *flags, f"--workdir={workdir}")
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not workdir.exists()


def test_a_stop_from_the_keyboard_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def stopped(config, workdir):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", stopped)
    monkeypatch.chdir(ROOT)
    assert main([*SMALL, f"--workdir={tmp_path}"]) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_default_workdir_leaves_out_what_changes_no_result():
    config = default()
    names = [default_workdir("a.py", config)]
    for name, value in (("log_every", 7), ("learning_rate", 0.5)):
        config.supernet[name] = value
        config.compilation_cache = str(value)
        names.append(default_workdir("a.py", config))
    assert names[0] == names[1] != names[2]


def test_default_workdir_is_printed_and_found_again(environment, tmp_path):
    flags = [flag.replace("configs/", f"{ROOT}/configs/") for flag in SMALL]
    flags += ["--config.stages=indicator"]
    lines = [
        subprocess.run(
            command(*flags, extra),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        ).stdout.splitlines()[0]
        for extra in ("--config.seed=0", "--config.seed=0", "--config.seed=1")
    ]
    assert lines[0].startswith("workdir: runs/digits-")
    assert lines[0] == lines[1] != lines[2]
