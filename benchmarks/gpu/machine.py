"""What the device does at best: bytes of a copy and FLOPs of a matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.gpu.session import Session

REPEATS = 20


def measure(session: Session) -> None:
    """Record `bandwidth`, bytes read plus written a second, and `rate`, FLOP/s."""
    session.alone()  # before others compile
    # 2 GiB are far more than any cache holds.
    count, side = (2**18, 128) if session.small else (2**29, 8192)
    values = jnp.arange(count, dtype=jnp.float32)
    keys = jax.random.split(jax.random.key(0))
    matrices = [jax.random.normal(key, (side, side), jnp.bfloat16) for key in keys]
    copied = _seconds(jax.jit(jnp.copy), values)
    multiplied = _seconds(jax.jit(jnp.matmul), *matrices)
    session.record(
        device=jax.devices()[0].device_kind,
        bandwidth=2 * values.nbytes / copied,
        rate=2 * side**3 / multiplied,
    )


def _seconds(function: Callable[..., Any], *arguments: Any) -> float:
    """Mean of calls that follow each other."""
    jax.block_until_ready(function(*arguments))
    start = time.perf_counter()
    for _ in range(REPEATS):
        last = function(*arguments)
    jax.block_until_ready(last)
    return (time.perf_counter() - start) / REPEATS
