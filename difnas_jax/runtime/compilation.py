"""The process that a run lives in: its memory, and its compiled programs."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from difnas_jax.errors import InputError
from difnas_jax.runtime.metrics import say

# glibc reads its tunables when a process starts, and never again.
TUNABLES = "GLIBC_TUNABLES"
HUGE_PAGES = "glibc.malloc.hugetlb=1"


def restart_with_huge_pages() -> None:
    """Start this command again in the same process, with its memory in huge pages.

    A program on the CPU takes hundreds of megabytes at each call and gives them back;
    in pages of 4 KiB, the faults alone cost as much as half of an update of one path.
    Nothing happens outside of Linux, or where the environment says how to allocate.
    """
    if sys.platform == "linux" and TUNABLES not in os.environ:
        os.environ[TUNABLES] = HUGE_PAGES
        os.execv(sys.executable, sys.orig_argv)


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Pause the garbage collector.

    Tracing a supernet makes millions of objects that stay; looking through them again
    and again takes a third of its time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def keep_compiled_programs(place: str) -> None:
    """Keep compiled programs on disk, so that a later run need not compile them again.

    Args:
      place: a folder, made if needed; `auto` is `difnas_jax/compilation` in the user's
        cache folder, or where `JAX_COMPILATION_CACHE_DIR` points; empty is off.

    Raises:
      InputError: a folder that cannot be written; `auto` says so and goes without.
    """
    auto = place == "auto"
    if auto and os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    folder = str(_user_cache() / "difnas_jax/compilation") if auto else place
    if folder and (reason := _why_not_writable(Path(folder))):
        if not auto:
            raise InputError(
                f"compilation_cache: expected a folder that can be written, or nothing "
                f"to go without; got {place!r} ({reason})"
            )
        say(f"compilation_cache: goes without, {folder} cannot be written ({reason})")
        folder = ""
    jax.config.update("jax_compilation_cache_dir", folder or None)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    # JAX decides at its first compilation, which may be over, whether there is a cache.
    compilation_cache.reset_cache()


def _user_cache() -> Path:
    """The folder that the XDG base directory specification names."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named if os.path.isabs(named) else os.path.expanduser("~/.cache"))


def _why_not_writable(folder: Path) -> str:
    """Why a folder, made if needed, takes no file; empty if it does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)
