"""An update of difnas_jax: compilation, time, memory, profile."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.gpu import profile
from benchmarks.gpu.session import Session
from benchmarks.gpu.timing import seconds_of
from benchmarks.speed import difnas_update, network
from difnas_jax.runtime import compilation
from difnas_jax.training import programs

SETS_OF_PATHS = 8


def measure(session: Session) -> None:
    """Record the seconds of each phase and of the updates, and the memory."""
    program = session.part.program
    compilation.keep_compiled_programs(str(session.compiled))
    space = network.SPACES[program.space]()
    with session.beside_others(), session.phase("initialize"):
        step, state, batch = difnas_update.training(
            space,
            section=program.section,
            trainable=program.trainable,
            batch_size=program.batch_size,
            kernels="he_fan_out",  # drawn in seconds; orthogonal ones take a minute
            fields=program.fields,
        )
        drawn = network.path_sets(program.paths, space.num_layers)
        sets = [jnp.asarray(one) for one in itertools.islice(drawn, SETS_OF_PATHS)]
        jax.block_until_ready((state, batch, sets))
    with compilation.without_collection():  # as in training
        with session.phase("trace"):
            jitted = programs.compiled(step, state.variables["params"], donate=(0,))
            traced = jitted.trace(state, batch, sets[0])
        with session.phase("lower"):
            lowered = traced.lower()
        with session.beside_others(), session.phase("compile"):
            compiled = lowered.compile()

    def update(paths: jax.Array) -> None:
        nonlocal state
        state, _ = compiled(state, batch, paths)

    def wait() -> None:
        jax.block_until_ready(state.step)

    arguments = itertools.cycle(sets)
    session.alone()
    with session.phase("first"):
        update(next(arguments))
        wait()
    session.record(**seconds_of(update, wait, arguments, session.small), **_peak())
    session.record(program_bytes=_program_bytes(compiled))
    with profile.recorded(session.folder / "profile") as kernels:
        for _ in range(profile.UPDATES):
            update(next(arguments))
        wait()
    session.record(kernels=kernels)


def _program_bytes(compiled: Any) -> int:
    """Memory of the program by the compiler's own analysis, state and batch included.

    The peak also has what the choice of kernels takes before the first update.
    """
    memory = compiled.memory_analysis()
    return (
        memory.argument_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
    )


def _peak() -> dict[str, int]:
    """`peak_bytes`, the most memory since the process began, where that is counted."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use")
    return {} if peak is None else {"peak_bytes": peak}
