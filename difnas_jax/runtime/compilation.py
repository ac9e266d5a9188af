"""Compiled programs on disk, and how the process of a run allocates its memory."""

import contextlib
import gc
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from difnas_jax.errors import InputError
from difnas_jax.runtime.given_paths import given_path
from difnas_jax.runtime.metrics import say

# glibc reads its tunables when a process starts, and never again.
TUNABLES = "GLIBC_TUNABLES"
# Freed memory stays, in huge pages and in one arena, where the next call of whichever
# thread finds it.
KEPT_MEMORY = (
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:"
    "glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=67108864:"
    "glibc.malloc.arena_max=1"
)


def suggest_kept_memory() -> None:
    """Print one line where runs would be faster if they kept their memory.

    A compiled program on the CPU allocates hundreds of megabytes at each call and frees
    them again. In pages of 4 KiB, the page faults alone take half as long as an update
    of one path (`docs/speed.md`). Nothing is printed on GPU and TPU, outside of Linux,
    or where the environment has tunables of its own.
    """
    on_cpu = sys.platform == "linux" and jax.default_backend() == "cpu"
    if on_cpu and TUNABLES not in os.environ:
        say(f"memory: {TUNABLES}={KEPT_MEMORY} in the environment makes runs faster")


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Pause the garbage collector.

    Tracing a supernet makes millions of objects that stay alive; scanning them again
    and again takes a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def has_triton() -> bool:
    """Whether this process computes on GPUs that XLA compiles Triton kernels for."""
    if importlib.util.find_spec("jax.experimental.pallas.triton") is None:
        return False
    device = jax.devices()[0]
    if device.platform != "gpu" or "cuda" not in device.client.platform_version:
        return False
    return int(device.compute_capability.split(".")[0]) >= 8


# XLA does not time algorithms, and takes cuBLAS for every matrix product.
UNTIMED: dict[str, bool | int] = {
    "xla_gpu_autotune_level": 0,
    "xla_gpu_enable_triton_gemm": False,
}


def compiled(
    function: Callable[..., Any], frozen: bool, donate: tuple[int, ...] = ()
) -> Any:
    """`jax.jit` of a function that contains a network, with the options it wants.

    On an NVIDIA GPU XLA times many algorithms for every shape of a convolution and a
    matrix product: of a supernet for minutes. Where kernels are frozen there is no need
    to: no convolution is left to XLA, unless its map is too large (see
    `ops.depthwise_kernels.take`), and cuBLAS chooses well by itself. For gradients of
    1x1 kernels it does not: an H200 took 55 ms for a step of retraining, 26 ms where
    XLA had timed.

    Args:
      function: to compile.
      frozen: whether the network's kernels are.
      donate: the arguments whose memory the results may take.
    """
    options = UNTIMED if frozen and has_triton() else None
    return jax.jit(function, donate_argnums=donate, compiler_options=options)


def keep_compiled_programs(cache: str) -> None:
    """Keep compiled programs on disk, so that a later run need not compile them again.

    JAX keeps XLA's results of autotuning on a GPU beside them, for other programs with
    the same kernels (`jax_persistent_cache_enable_xla_caches`, on by default); only the
    first process writes them.

    Args:
      cache: a folder, made if needed; `auto` is `difnas_jax/compilation` in the user's
        cache folder, or where `JAX_COMPILATION_CACHE_DIR` points; empty is off.

    Raises:
      InputError: the folder cannot be written. For `auto`, one line is printed instead
        and nothing is kept.
    """
    auto = cache == "auto"
    if auto and os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    # The folder that the XDG base directory specification names.
    named = os.environ.get("XDG_CACHE_HOME", "")
    user = named if os.path.isabs(named) else "~/.cache"
    name = os.path.join(user, "difnas_jax/compilation") if auto else cache
    folder = None
    try:
        folder = _made_folder(name) if name else None
    except InputError as error:
        if not auto:
            raise
        say(f"{error}; compiled programs are not kept")
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    # JAX decides at its first compilation whether there is a cache; it may have been.
    compilation_cache.reset_cache()


def _made_folder(name: str) -> str:
    """A folder in which files can be written, made if needed."""
    folder = given_path("compilation_cache", name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            "compilation_cache: expected a folder that can be written, or nothing to "
            f"keep no compiled programs; {str(folder)!r} cannot ({error.strerror})"
        ) from error
    return str(folder)
