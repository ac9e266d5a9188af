"""The process: its memory, and where compiled programs are kept."""

import gc
import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from benchmarks.speed import programs
from difnas_jax.errors import InputError
from difnas_jax.runtime import compilation

SETTINGS = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture(autouse=True)
def default_settings(monkeypatch):
    """JAX without settings for its cache; afterwards as it was before."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    jax.config.update("jax_enable_compilation_cache", True)
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def folder():
    return getattr(jax.config, "jax_compilation_cache_dir")  # noqa: B009


def test_programs_are_kept_in_the_folder_also_after_a_first_compilation(tmp_path):
    jax.jit(lambda x: x * 3)(1.0)
    cache = tmp_path / "a" / "b"
    compilation.keep_compiled_programs(str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.jit(lambda x: jnp.sin(x) * 5)(1.0)
    assert list(cache.iterdir())


@pytest.mark.parametrize("named", ["absolute", "relative", ""])
def test_auto_is_the_cache_folder_of_the_user(tmp_path, monkeypatch, named):
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / "xdg" if named == "absolute" else tmp_path / ".cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home) if named == "absolute" else named)
    compilation.keep_compiled_programs("auto")
    expected = home / "difnas_jax" / "compilation"
    assert folder() == str(expected)
    assert expected.is_dir()


def test_auto_leaves_the_folder_that_the_environment_gives(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "given"))
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "given"))
    compilation.keep_compiled_programs("auto")
    assert folder() == str(tmp_path / "given")


def test_empty_is_off(tmp_path):
    compilation.keep_compiled_programs(str(tmp_path))
    compilation.keep_compiled_programs("")
    assert folder() is None


def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="compilation_cache: expected a f") as error:
        compilation.keep_compiled_programs(str(tmp_path / "file" / "folder"))
    assert "\n" not in str(error.value) and "Not a directory" in str(error.value)


def test_auto_without_a_folder_is_off_and_prints_a_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    compilation.keep_compiled_programs("auto")
    assert folder() is None
    out = capsys.readouterr().out
    assert out.endswith("compiled programs are not kept\n") and out.count("\n") == 1


def test_auto_without_a_home_makes_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for variable in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # no entry for this user
    compilation.keep_compiled_programs("auto")
    assert folder() is None and not list(tmp_path.iterdir())
    assert "HOME is not set" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("platform", "backend", "tunables", "lines"),
    [
        ("linux", "cpu", None, 1),
        ("linux", "cpu", "glibc.malloc.perturb=0", 0),
        ("linux", "gpu", None, 0),
        ("darwin", "cpu", None, 0),
    ],
)
def test_memory_that_is_not_kept_is_one_line(
    monkeypatch, capsys, platform, backend, tunables, lines
):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if tunables is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", tunables)
    compilation.suggest_kept_memory()
    output = capsys.readouterr().out
    assert output.count("\n") == lines
    shown = f"{compilation.TUNABLES}={compilation.KEPT_MEMORY}"
    assert (shown in output) == bool(lines)


def test_the_demo_and_the_benchmark_keep_memory_as_runs_are_told_to():
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert f"demo: export GLIBC_TUNABLES ?= {compilation.KEPT_MEMORY}\n" in makefile
    kept = programs.KEEP_MEMORY[compilation.TUNABLES]
    assert kept == compilation.KEPT_MEMORY


RUNPY = """
import os, runpy, sys
print("before")
before, sys.argv[1:] = dict(os.environ), ["--help"]
try:
    runpy.run_module(sys.argv[0], run_name="__main__")
except SystemExit as end:
    print("after", end.code, dict(os.environ) == before)
"""


@pytest.mark.parametrize("module", ["difnas_jax.main", "difnas_jax"])
def test_running_the_package_never_replaces_the_process(module):
    """A process that starts itself again would print "before" twice."""
    environment = {k: v for k, v in os.environ.items() if k != compilation.TUNABLES}
    output = subprocess.check_output(
        [sys.executable, "-c", f"import sys; sys.argv[0] = {module!r}\n{RUNPY}"],
        env=environment,
        text=True,
    )
    lines = output.splitlines()
    assert lines[0] == "before" and lines.count("before") == 1
    assert lines[-1] == "after 0 True"


def test_no_module_of_the_package_replaces_the_process():
    package = Path(compilation.__file__).parents[1]
    for path in package.rglob("*.py"):
        assert not re.search(r"\bexec[lv]p?e?\b", path.read_text()), path


def test_collection_is_paused_and_comes_back():
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), compilation.without_collection():
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()
