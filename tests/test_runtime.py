"""The process: its memory, and where compiled programs are kept."""

import gc
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from difnas_jax.errors import InputError
from difnas_jax.runtime import compilation

SETTINGS = (
    "jax_enable_compilation_cache",
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
)


@pytest.fixture(autouse=True)
def untold(monkeypatch):
    """JAX as a user has it who told it nothing; as it was afterwards."""
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
    place = tmp_path / "a" / "b"
    compilation.keep_compiled_programs(str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.jit(lambda x: jnp.sin(x) * 5)(1.0)
    assert list(place.iterdir())


@pytest.mark.parametrize("named", ["absolute", "relative", ""])
def test_auto_is_the_cache_folder_of_the_user(tmp_path, monkeypatch, named):
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / "xdg" if named == "absolute" else tmp_path / ".cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home) if named == "absolute" else named)
    compilation.keep_compiled_programs("auto")
    expected = home / "difnas_jax" / "compilation"
    assert folder() == str(expected)
    assert expected.is_dir()


def test_auto_leaves_the_folder_that_jax_was_told(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "told"))
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "told"))
    compilation.keep_compiled_programs("auto")
    assert folder() == str(tmp_path / "told")


def test_empty_is_off(tmp_path):
    compilation.keep_compiled_programs(str(tmp_path))
    compilation.keep_compiled_programs("")
    assert folder() is None


def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="compilation_cache: expected a f") as error:
        compilation.keep_compiled_programs(str(tmp_path / "file" / "folder"))
    assert "\n" not in str(error.value) and "Not a directory" in str(error.value)


def test_auto_goes_without_and_says_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    compilation.keep_compiled_programs("auto")
    assert folder() is None
    out = capsys.readouterr().out
    assert out.startswith("compilation_cache: goes without") and out.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's tunables are for Linux")
@pytest.mark.parametrize(
    ("before", "after"),
    [(None, compilation.HUGE_PAGES), ("glibc.malloc.perturb=0",) * 2],
)
def test_the_command_restarts_with_huge_pages_unless_told_otherwise(before, after):
    code = (
        "import os, sys; from difnas_jax.runtime import compilation;"
        "compilation.restart_with_huge_pages();"
        "print(os.environ[compilation.TUNABLES], *sys.argv)"
    )
    environment = {k: v for k, v in os.environ.items() if k != compilation.TUNABLES}
    if before is not None:
        environment[compilation.TUNABLES] = before
    command = [sys.executable, "-W", "error", "-c", code, "one", "two"]
    output = subprocess.check_output(command, env=environment, text=True)
    assert output.split() == [after, "-c", "one", "two"]


def test_collection_is_paused_and_comes_back():
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), compilation.without_collection():
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()
