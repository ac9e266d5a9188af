"""How long every op of a space takes on the device at hand, and whether it adds up.

A network is predicted from its blocks, each of them timed by itself: a constant, a
factor times their sum, and a number for each block. The sum alone is not enough: XLA
compiles a network as a whole and fuses across blocks, and stem, head and the call cost
something in every network. The three numbers are fitted to whole networks that are
timed in the same rounds; the prediction of others tells how far it is to be believed.
"""

import time
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import jax
import numpy as np

from difnas_jax.deployment.latency_fit import agreement, chosen_networks, fit
from difnas_jax.deployment.timed_programs import (
    CHAINED,
    Conditions,
    PlacedBlock,
    Program,
    block_program,
    empty_program,
    network_program,
    placed_blocks,
)
from difnas_jax.ops.layout import fastest
from difnas_jax.runtime import provenance
from difnas_jax.runtime.latency_table import LatencyTable
from difnas_jax.runtime.progress import Progress
from difnas_jax.runtime.versions import versions
from difnas_jax.search.additive import sum_along_paths
from difnas_jax.spaces.image import ImageSpace

# Every program is timed once in each round, so that a slow minute of the machine is one
# of all of them; within a round its calls are repeated for so many seconds.
ROUNDS, SECONDS, LEAST_CALLS = 9, 0.015, 2
QUARTILES = 25, 50, 75
NAMES = "low", "ms", "high"  # of them, in a file
EMPTY = "empty"
Times = dict[Hashable, np.ndarray]  # by program, float64[rounds] milliseconds
Uses = dict[tuple[int, int], list[PlacedBlock]]  # by layer and op


def measure(space: ImageSpace, conditions: Conditions) -> LatencyTable:
    """Time all blocks and some networks of a space, and fit the prediction.

    Prints the progress.

    Args:
      space: whose ops are timed, equal blocks once.
      conditions: how networks are served.
    """
    uses: Uses = {
        (index, op): placed_blocks(space, index, space.ops[op])
        for index, layer in enumerate(space.layers)
        for op in layer.ops
    }
    blocks = dict.fromkeys(block for used in uses.values() for block in used)
    programs: dict[Hashable, Program] = {EMPTY: empty_program()}
    programs |= {block: block_program(block, conditions) for block in blocks}
    compile_all(programs.values())
    rough = _of_ops(space, uses, timed(programs, rounds=1))
    fitted, held_out = chosen_networks(space, rough[..., 1], conditions.seed)
    networks = [*fitted, *held_out]
    whole = {each: network_program(space, each, conditions) for each in networks}
    compile_all(whole.values())
    times = timed({**programs, **whole}, ROUNDS)
    ops, counts = _of_ops(space, uses, times), np.zeros(space.allowed.shape, np.int64)
    for position, used in uses.items():
        counts[position] = len(used)
    measured = np.array([np.percentile(times[each], QUARTILES) for each in networks])
    of_fitted = measured[: len(fitted), 1]
    correction = fit(ops[..., 1], counts, np.array(fitted), of_fitted)
    sums = sum_along_paths(correction.of_ops(ops[..., 1], counts), np.array(networks))
    rows = [
        {"architecture": list(network), "fitted": number < len(fitted)}
        | {"predicted_ms": float(correction.fixed_ms + sums[number])}
        | _named(measured[number])
        for number, network in enumerate(networks)
    ]
    facts = {
        "batch": conditions.batch,
        "dtype": conditions.dtype,
        "seed": conditions.seed,
        "layout": fastest().dims,
        "rounds": ROUNDS,
        "call_ms": float(np.median(times[EMPTY])),
        "processor": provenance.processor(),
        "versions": versions(),
        "provenance": provenance.facts(),
        "held_out": agreement(rows[len(fitted) :]),
        "networks": rows,
    }
    return LatencyTable(space, _layers(space, uses, ops), correction, facts)


def latency_of(program: Program) -> dict[str, float]:
    """How long a program takes: milliseconds, as `NAMES`. Prints the progress."""
    compile_all([program])
    times = timed({EMPTY: program}, ROUNDS)
    return _named(np.percentile(times[EMPTY], QUARTILES))


def _layers(space: ImageSpace, uses: Uses, ops: np.ndarray) -> list[dict[str, Any]]:
    """What a table says of the ops of each layer."""
    layers: list[dict[str, Any]] = [{} for _ in space.layers]
    for (layer, op), used in uses.items():
        row = {"blocks": len(used)} | _named(ops[layer, op])
        layers[layer][space.ops[op].name] = row
    return layers


def compile_all(programs: Collection[Program]) -> None:
    """Call each program once."""
    progress = Progress("compiling", len(programs), 0, "programs")
    for program in programs:
        jax.block_until_ready(program())
        progress.step()
    progress.finish()


def timed(programs: Mapping[Hashable, Program], rounds: int) -> Times:
    """The time of the fastest call of each program in each round.

    Whatever else runs on the machine makes calls slower, never faster.
    """
    progress = Progress("timing", rounds * len(programs), 0, "programs")
    found: dict[Hashable, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            jax.block_until_ready(program())  # its weights come into the caches
            calls, end = [], time.perf_counter() + SECONDS
            while len(calls) < LEAST_CALLS or time.perf_counter() < end:
                start = time.perf_counter()
                jax.block_until_ready(program())
                calls.append(time.perf_counter() - start)
            found[name].append(1000 * min(calls))
            progress.step()
    progress.finish()
    return {name: np.array(fastest) for name, fastest in found.items()}


def _of_ops(space: ImageSpace, uses: Uses, times: Times) -> np.ndarray:
    """float64[L, O, 3]: quartiles of the time of the blocks of each op, 0 of others.

    Without the time of the call, which all blocks of a network share.
    """
    quartiles = np.zeros((*space.allowed.shape, len(QUARTILES)))
    call = np.median(times[EMPTY])
    for position, blocks in uses.items():
        for block in blocks:
            own = np.percentile(times[block], QUARTILES) - call
            quartiles[position] += np.maximum(own, 0) / CHAINED
    return quartiles


def _named(quartiles: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, quartiles.tolist(), strict=True))
