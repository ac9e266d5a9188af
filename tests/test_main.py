"""The command line as a user types it, in a process of its own, on the digits."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from difnas_jax import __main__ as entrance
from difnas_jax import pipeline
from difnas_jax.config import default
from difnas_jax.main import default_workdir, main
from difnas_jax.usage import COMMANDS

ROOT = Path(__file__).parents[1]
SMALL = ("--config=benchmarks/kills/small_run.py",)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """One device, and one cache folder for all runs of this file.

    And what environments of users hold that must not matter: a backend of matplotlib
    that is not installed (as in a process that a notebook starts), strict modes of JAX,
    another random number generator, and an output that knows no Unicode.
    """
    ours = {name: v for name, v in os.environ.items() if not name.startswith("JAX_")}
    return {
        **{name: value for name, value in ours.items() if name != "XLA_FLAGS"},
        "JAX_PLATFORMS": "cpu",
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
        "MPLBACKEND": "not_installed",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_TRANSFER_GUARD": "disallow",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "PYTHONIOENCODING": "ascii",
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
        "architecture",
        "op indices",
        "MACs",
        "parameters",
        "score",
        "test accuracy",
        "report",
    ]
    assert output.splitlines()[0] == f"workdir: {workdir}"
    assert output.splitlines()[-1] == f"report: {workdir / 'report.html'}"
    assert "supernet 16/16  loss " in output and " updates/s" in output


def test_compiling_is_announced_and_kept(unbroken, environment):
    what = "the update of kills: 2 layers x 2 ops, 8 px, batch 32, float32"
    assert f"supernet: compiling {what}, for 1 x cpu\n" in unbroken[1]
    for title in ("supernet", "retrain"):
        assert unbroken[1].count(f"{title}: compiled in ") == 2  # and its evaluation
    kept = Path(environment["XDG_CACHE_HOME"]) / "difnas_jax" / "compilation"
    assert list(kept.glob("jit_train_step-*"))


def test_the_same_command_again_skips_and_says_the_same(unbroken, environment):
    workdir, output = unbroken
    uncached = "--config.compilation_cache="  # changes no result
    again = run(environment, *SMALL, uncached, f"--workdir={workdir}")
    assert again.returncode == 0
    assert again.stdout.count("complete, skipped") == 5
    assert again.stdout.splitlines()[-7:] == output.splitlines()[-7:]


def test_killed_runs_end_with_the_same_bits(unbroken, environment, tmp_path):
    """The short form of `benchmarks/kills/KILLS.md`: aimed at every stage once."""
    shutil.copytree(unbroken[0], tmp_path / "unbroken")
    kept = Path(environment["XDG_CACHE_HOME"]) / "difnas_jax" / "compilation"
    shutil.copytree(kept, tmp_path / "compiled")
    page = tmp_path / "page.md"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.kills",
            "--kills=7",
            "--data=digits",
            f"--workdir={tmp_path}",
            f"--page={page}",
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Kill(") == 7 and "SIGTERM" in done.stderr
    assert "differently from the unbroken one: 0." in page.read_text()


def test_a_stop_from_the_keyboard_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    def stopped(config, workdir):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", stopped)
    monkeypatch.chdir(ROOT)
    assert main([*SMALL, f"--workdir={tmp_path}"]) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_an_unknown_command_is_one_line_that_names_the_known_ones(capsys):
    assert entrance.main(["comprae", "--seeds=0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'comprae'" in line and all(name in line for name in COMMANDS)


def test_the_console_script_is_the_same_entrance():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"difnas-jax": f"{entrance.__name__}:main"}


def test_the_first_argument_picks_the_command(monkeypatch):
    calls = []
    modules = {name: f"difnas_jax.commands.{name}" for name in COMMANDS}
    for name, module in {"run": "difnas_jax.main", **modules}.items():
        monkeypatch.setattr(
            f"{module}.main", lambda argv, n=name: calls.append((n, argv))
        )
    entrance.main(["compare", "--seeds=0"])
    entrance.main(["--config=digits"])
    entrance.main([])
    expected = [("compare", ["--seeds=0"]), ("run", ["--config=digits"]), ("run", [])]
    assert calls == expected


def test_default_workdir_leaves_out_what_changes_no_result():
    config = default()
    names = [default_workdir("a.py", config)]
    for name, value in (("log_every", 7), ("learning_rate", 0.5)):
        config.supernet[name] = value
        config.compilation_cache = str(value)
        names.append(default_workdir("a.py", config))
    assert names[0] == names[1] != names[2]
    shipped = default_workdir("baselines/spos:digits", config)
    assert shipped == default_workdir("configs/baselines/spos.py:digits", config)
    assert shipped.name.startswith("spos-")


def test_default_workdir_is_printed_and_found_again(environment, tmp_path):
    flags = [flag.replace("benchmarks/", f"{ROOT}/benchmarks/") for flag in SMALL]
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
    assert lines[0].startswith("workdir: runs/small_run-")
    assert lines[0] == lines[1] != lines[2]
