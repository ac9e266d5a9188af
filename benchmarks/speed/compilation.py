"""Seconds to trace, lower and compile the step of the default space, cold and cached.

As a program, `python -m benchmarks.speed.compilation CACHE` measures once and prints
JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time

from benchmarks.speed.fresh_process import run_in_fresh_process

BATCH_SIZE = 32


def compilation() -> dict[str, dict[str, float]]:
    """Seconds by phase, in two fresh processes: empty cache, then what it left."""
    with tempfile.TemporaryDirectory() as cache:
        return {
            name: run_in_fresh_process("compilation", cache)
            for name in ("cold", "cached")
        }


def measure(cache: str) -> dict[str, float]:
    """Build the strict-fair step of `mbv2` at 32 pixels (21 layers, 7 ops).

    Args:
      cache: folder of compiled programs.
    """
    import jax
    import jax.numpy as jnp

    from benchmarks.speed import difnas_update
    from difnas_jax import spaces
    from difnas_jax.runtime import compilation

    compilation.keep_compiled_programs(cache)
    space = spaces.build("mbv2", image_size=32, image_channels=3, num_classes=10)
    times = [time.perf_counter()]
    step, state, batch = difnas_update.training(space, "supernet", "all_bn", BATCH_SIZE)
    times.append(time.perf_counter())
    paths = jnp.zeros((space.num_ops, space.num_layers), jnp.int32)
    with compilation.without_collection():  # as in training
        traced = jax.jit(step, donate_argnums=0).trace(state, batch, paths)
        times.append(time.perf_counter())
        lowered = traced.lower()
        times.append(time.perf_counter())
        lowered.compile()
        times.append(time.perf_counter())
    phases = ("initialize", "trace", "lower", "compile")
    pairs = zip(times, times[1:], strict=False)
    return {name: b - a for name, (a, b) in zip(phases, pairs, strict=True)}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
