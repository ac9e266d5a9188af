"""The process that a run lives in: compiled programs are kept for the next one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from difnas_jax.errors import InputError
from difnas_jax.writer import say


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
