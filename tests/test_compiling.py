"""What is said of a compilation: what it is, for how long, where the time went."""

import gc
import time

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache
from jobs import threads

from difnas_jax.errors import InputError
from difnas_jax.runtime import progress
from difnas_jax.runtime.compiling import announced


def test_the_first_call_alone_is_reported(capsys):
    double = announced(jax.jit(lambda x: 2 * x), "supernet", "the update")
    assert double(2.0) == 4.0
    first, last = capsys.readouterr().out.splitlines()
    assert first == "supernet: compiling the update"
    assert last.startswith("supernet: compiled in ") and "(trace " in last
    assert double(3.0) == 6.0
    assert capsys.readouterr().out == ""


def test_elapsed_time_is_told_while_it_lasts_and_no_longer(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SILENCE", 0.02)
    before = threads()
    announced(lambda: time.sleep(1), "search", "paths")()
    lines = capsys.readouterr().out.splitlines()
    assert "search: compiling for 0 s" in lines[1:-1]
    assert threads() <= before
    time.sleep(0.1)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_the_report(capsys, error):
    before = threads()

    def fail():
        raise error

    with pytest.raises(error):
        announced(fail, "search", "paths")()
    assert threads() <= before and gc.isenabled()
    assert "compiled" not in capsys.readouterr().out


def test_too_small_a_memory_names_the_ways_out():
    def fail(text):
        raise jax.errors.JaxRuntimeError(text)

    program = announced(fail, "supernet", "the update of mbv2")
    with pytest.raises(
        InputError, match="the update of mbv2.*paths_at_once=1"
    ) as found:
        program("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes.")
    assert "\n" not in str(found.value)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        program("INTERNAL: something else")


def test_a_second_process_is_silent(capsys, monkeypatch):
    monkeypatch.setattr("difnas_jax.runtime.metrics.is_main_process", lambda: False)
    monkeypatch.setattr(progress, "SILENCE", 0.02)
    announced(lambda: time.sleep(0.1), "search", "paths")()
    assert capsys.readouterr().out == ""


def test_it_says_whether_the_cache_had_the_program(capsys, monkeypatch, tmp_path):
    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    before = {name: getattr(jax.config, name) for name in names}
    for name, value in zip(names, (str(tmp_path), 0.0), strict=True):
        jax.config.update(name, value)
    try:
        compilation_cache.reset_cache()
        for expected in ("compile ", "read from the cache "):
            program = jax.jit(lambda x: jnp.sin(x) * 7)
            announced(program, "search", "paths")(jnp.arange(3.0))
            assert expected in capsys.readouterr().out.splitlines()[-1]
            jax.clear_caches()
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
