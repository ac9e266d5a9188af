"""Seconds to trace, lower and compile the default update, cold and cached.

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
    """Compile the update of the default config: 21 layers, 224 pixels, 1000 classes.

    Args:
      cache: folder of compiled programs.
    """
    from difnas_jax.config import load_config
    from difnas_jax.runtime import compilation
    from difnas_jax.training.timing import begin_on_noise

    compilation.keep_compiled_programs(cache)
    config = load_config("mbv2")
    config.supernet.batch_size = BATCH_SIZE
    times = [time.perf_counter()]
    state, step, paths, batch = begin_on_noise(config, total=1000)
    chosen = paths(0, state.memory)
    times.append(time.perf_counter())
    with compilation.without_collection():  # as in training
        traced = step.trace(state, batch, chosen)
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
