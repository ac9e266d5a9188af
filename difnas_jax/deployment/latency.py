"""How long every op of a space takes on the device at hand, and whether it adds up.

A network is predicted to take a constant plus a factor times the sum of its blocks, as
each of them was timed by itself. The sum alone is not enough: XLA compiles a network as
a whole and fuses across blocks, and stem, head and the call cost something in every
network. Both numbers are fitted to whole networks that are timed in the same rounds;
the prediction of others tells how far it is to be believed.
"""

import statistics
import time
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import jax
import numpy as np

from difnas_jax.deployment.timed_programs import (
    CHAINED,
    Conditions,
    Program,
    block_program,
    empty_program,
    network_program,
    placed_blocks,
)
from difnas_jax.ops.layout import fastest
from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.runtime import provenance
from difnas_jax.runtime.latency_table import LatencyTable
from difnas_jax.runtime.progress import Progress
from difnas_jax.runtime.versions import versions
from difnas_jax.spaces.base import Architecture
from difnas_jax.spaces.image import ImageSpace

# Every program is timed once in each round, so that a slow minute of the machine is one
# of all of them; within a round its calls are repeated for so many seconds.
ROUNDS, SECONDS, LEAST_CALLS = 9, 0.015, 2
# Whole networks: so many to fit the prediction, and as many to judge it.
NETWORKS = 5
DRAWN = 1000  # random networks, of which those are taken
QUARTILES = 25, 50, 75
NAMES = "low", "ms", "high"  # of them, in a file
EMPTY = "empty"
Times = dict[Hashable, np.ndarray]  # by program, float64[rounds] milliseconds


def measure(space: ImageSpace, conditions: Conditions) -> LatencyTable:
    """Time all blocks and some networks of a space, and fit the prediction.

    Prints the progress.

    Args:
      space: whose ops are timed, equal blocks once.
      conditions: how networks are served.
    """
    positions = [tuple(map(int, each)) for each in np.argwhere(space.allowed)]
    uses = {
        (layer, op): placed_blocks(space, layer, space.ops[op])
        for layer, op in positions
    }
    blocks = dict.fromkeys(block for used in uses.values() for block in used)
    programs: dict[Hashable, Program] = {EMPTY: empty_program()}
    programs |= {block: block_program(block, conditions) for block in blocks}
    compile_all(programs.values())
    sums = _sums(space, uses, timed(programs, rounds=1))
    fitted, held_out = chosen_networks(space, sums[..., 1], conditions.seed)
    networks = [*fitted, *held_out]
    whole = {each: network_program(space, each, conditions) for each in networks}
    compile_all(whole.values())
    programs |= whole
    times = timed(programs, ROUNDS)
    sums = _sums(space, uses, times)
    fixed_ms, factor, rows = _prediction(sums[..., 1], networks, times, len(fitted))
    layers = [
        {space.ops[op].name: _named(sums[index, op]) for op in layer.ops}
        for index, layer in enumerate(space.layers)
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
    return LatencyTable(space, layers, fixed_ms, factor, facts)


def compile_all(programs: Collection[Program]) -> None:
    """Call each program once."""
    progress = Progress("compiling", len(programs), 0, "programs")
    for program in programs:
        jax.block_until_ready(program())
        progress.step()
    progress.finish()


def timed(programs: Mapping[Hashable, Program], rounds: int) -> Times:
    """The median time of a call of each program in each round."""
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
            found[name].append(1000 * statistics.median(calls))
            progress.step()
    progress.finish()
    return {name: np.array(medians) for name, medians in found.items()}


def _sums(space: ImageSpace, uses: Mapping[Any, list[Any]], times: Times) -> np.ndarray:
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


def chosen_networks(
    space: ImageSpace, milliseconds: np.ndarray, seed: int
) -> tuple[list[Architecture], list[Architecture]]:
    """The networks that are timed.

    Args:
      space: to draw them from.
      milliseconds: float64[L, O], of each op.
      seed: of the draws.

    Returns:
      Some to fit the prediction, evenly spread from the fastest to the slowest of many
      random ones, and as many others, the first that were drawn, to judge it. Fewer
      where the space has few.
    """
    rng = np.random.default_rng(seed)
    drawn = np.stack([rng.choice(layer.ops, DRAWN) for layer in space.layers], axis=1)
    drawn = drawn[space.is_connected(drawn)]
    first = np.unique(space.canonical(drawn), axis=0, return_index=True)[1]
    drawn = drawn[np.sort(first)]
    held_out, others = np.split(drawn, [min(NETWORKS, len(drawn) // 2)])
    order = np.argsort(network_sums(milliseconds, others), kind="stable")
    spread = np.linspace(0, len(others) - 1, min(NETWORKS, len(others))).astype(int)
    fitted = others[order[spread]]
    return list(map(tuple, fitted.tolist())), list(map(tuple, held_out.tolist()))


def network_sums(milliseconds: np.ndarray, architectures: np.ndarray) -> np.ndarray:
    """float64[N]: the sums of float64[L, O] along int[N, L]."""
    return milliseconds[np.arange(architectures.shape[1]), architectures].sum(1)


def fit(sums: np.ndarray, measured: np.ndarray) -> tuple[float, float]:
    """The constant and the factor of the least relative squared error.

    Args:
      sums: float64[N], of the blocks of some networks.
      measured: float64[N], the networks.

    Returns:
      Neither is negative: where the constant would be, it is 0.
    """
    both = np.stack([np.ones(len(sums)), sums], axis=1) / measured[:, None]
    (constant, factor), *_ = np.linalg.lstsq(both, np.ones(len(sums)))
    if constant >= 0 and factor >= 0:
        return float(constant), float(factor)
    (factor,), *_ = np.linalg.lstsq(both[:, 1:], np.ones(len(sums)))
    return 0.0, float(factor)


def _prediction(
    milliseconds: np.ndarray, networks: list[Architecture], times: Times, fitted: int
) -> tuple[float, float, list[dict[str, Any]]]:
    """Constant and factor, fitted to the first networks, and a row of each network."""
    measured = np.array([np.percentile(times[net], QUARTILES) for net in networks])
    sums = network_sums(milliseconds, np.array(networks))
    constant, factor = fit(sums[:fitted], measured[:fitted, 1])
    rows = [
        {"architecture": list(network), "fitted": number < fitted}
        | {"predicted_ms": constant + factor * float(sums[number])}
        | _named(measured[number])
        for number, network in enumerate(networks)
    ]
    return constant, factor, rows


def _named(quartiles: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, quartiles.tolist(), strict=True))


def agreement(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """How well the latency of networks is predicted.

    Args:
      rows: with `predicted_ms` and `ms`.

    Returns:
      `networks`, how many; `tau_b` of Kendall; `mean_error` and `largest_error`, shares
      of what was measured. None where that is not defined.
    """
    predicted, measured = (
        np.array([r[n] for r in rows]) for n in ("predicted_ms", "ms")
    )
    tau = kendall_tau_b(predicted, measured)
    errors = np.abs(predicted / measured - 1)
    return {
        "networks": len(rows),
        "tau_b": tau if np.isfinite(tau) else None,
        "mean_error": float(errors.mean()) if len(rows) else None,
        "largest_error": float(errors.max()) if len(rows) else None,
    }
