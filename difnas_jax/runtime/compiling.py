"""What is being compiled, for how long already, and where the time went."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import monitoring

from difnas_jax.errors import InputError
from difnas_jax.runtime.compilation import without_collection
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.progress import working
from difnas_jax.runtime.shutdown import may_end

# The durations that JAX reports of each program, in their order.
TRACE = "/jax/core/compile/jaxpr_trace_duration"
LOWER = "/jax/core/compile/jaxpr_to_mlir_module_duration"
COMPILE = "/jax/core/compile/backend_compile_duration"
CACHE_HIT = "/jax/compilation_cache/cache_hits"


class Compilation:
    """The longest compilation since the last `begin`, as JAX reports it.

    A trace contains those of the functions that it calls, so durations do not add up.
    """

    def __init__(self) -> None:
        """Listen from now on; JAX 0.7 has no way to stop listening."""
        self.begin()
        monitoring.register_event_listener(self._event)
        monitoring.register_event_duration_secs_listener(self._duration)

    def begin(self) -> None:
        """Forget what was."""
        self._seconds = {TRACE: 0.0, LOWER: 0.0, COMPILE: 0.0}
        self._hit = self._cached = False

    def __str__(self) -> str:
        """Seconds by phase."""
        last = "read from the cache" if self._cached else "compile"
        phases = zip(("trace", "lower", last), self._seconds.values(), strict=True)
        return ", ".join(f"{name} {seconds:.1f}" for name, seconds in phases)

    def _event(self, event: str, **_: Any) -> None:
        self._hit |= event == CACHE_HIT

    def _duration(self, event: str, duration_secs: float, **_: Any) -> None:
        longest = duration_secs >= self._seconds.get(event, float("inf"))
        if longest:
            self._seconds[event] = duration_secs
        if event == COMPILE:  # of which reading from the cache is a part
            self._cached = self._hit if longest else self._cached
            self._hit = False


_listening = functools.cache(Compilation)


@contextlib.contextmanager
def compiling(title: str, what: str) -> Iterator[None]:
    """Report a first call, which compiles: at its start, while it lasts, at its end.

    The garbage collector pauses meanwhile.

    Args:
      title: of the work that needs the program.
      what: is being compiled.
    """
    say(f"{title}: compiling {what}")
    compilation, start = _listening(), time.monotonic()
    compilation.begin()
    with working(f"{title}: compiling"), without_collection(), may_end(True):
        yield
    seconds = time.monotonic() - start
    say(f"{title}: compiled in {seconds:.1f} s ({compilation})")


def announced(program: Callable[..., Any], title: str, what: str) -> Callable[..., Any]:
    """A program of `jax.jit` whose first call is reported by `compiling`.

    A call raises `InputError` where the memory of the device is too small.
    """
    calls = 0

    def call(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        first = calls == 1
        with compiling(title, what) if first else contextlib.nullcontext():
            return _in_memory(program, arguments, title, what)

    return call


def _in_memory(
    program: Callable[..., Any], arguments: tuple[Any, ...], title: str, what: str
) -> Any:
    try:
        return program(*arguments)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise InputError(
            f"{title}: expected {what} to fit into the memory of the device, and it is "
            "too small; these take less: a smaller batch_size, rematerialize=True, "
            "dtype=bfloat16 and, of a supernet, paths_at_once=1"
        ) from error
