"""The process that a run lives in: compiled programs and freed memory are kept."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax
from jax.experimental.compilation_cache import compilation_cache

from difnas_jax.errors import InputError
from difnas_jax.writer import say


class Setting(NamedTuple):
    """A parameter of glibc's mallopt (malloc.h).

    Attributes:
      parameter: its number.
      keep: the value that keeps freed memory.
      default: the value of glibc.
    """

    parameter: int
    keep: int
    default: int


ALLOCATOR = {
    # The top of the heap is never given back, and grows by 64 MiB at a time.
    "M_TRIM_THRESHOLD": Setting(-1, 2**31 - 1, 2**17),
    "M_TOP_PAD": Setting(-2, 2**26, 2**17),
    # No block is mapped, and unmapped, on its own.
    "M_MMAP_MAX": Setting(-4, 0, 2**16),
    # One heap for all threads: those of further heaps end at 64 MiB. 0 is no limit.
    "M_ARENA_MAX": Setting(-8, 1, 0),
}


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


def keep_freed_memory() -> None:
    """On a Linux CPU, keep freed memory for the next step.

    XLA allocates its large temporary buffers anew in every call. By default glibc maps
    them from the kernel and unmaps them when they are freed, and the page faults of
    touching them again took 47 of the 68 ms of forward and backward pass of a block;
    kept, none. The process never shrinks below its peak. Other C libraries and other
    devices are left as they are.

    A thread stays with the heap of its first block: call it before JAX makes threads,
    with its first array.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    mallopt = getattr(library, "mallopt", None)
    if mallopt is None:
        return
    for setting in ALLOCATOR.values():
        mallopt(setting.parameter, setting.keep)
    if jax.default_backend() != "cpu":  # asking makes the threads
        for setting in ALLOCATOR.values():
            mallopt(setting.parameter, setting.default)


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
