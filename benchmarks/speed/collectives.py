"""Bytes that the devices all-reduce in one update, read from the optimized HLO.

As a program, `python -m benchmarks.speed.collectives TRAINABLE` compiles the strictly
fair update for four virtual devices and prints JSON.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys

from benchmarks.speed.fresh_process import run_in_fresh_process

DEVICES = 4
BATCH_SIZE = 32
PATHS = 6

_HEADER = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_ALL_REDUCE = re.compile(r"= (.*?) all-reduce(?:-start)?\(")
_SHAPE = re.compile(r"\b([a-z]+)(\d+)\[([\d,]*)\]")
_BRANCHES = re.compile(r"\bbranch_computations=\{(.*?)\}")
_TWO_BRANCHES = re.compile(r"\b(?:true|false)_computation=(%[\w.-]+)")
_BODY = re.compile(r"\bbody=%([\w.-]+)")
_CALLED = re.compile(r"\b(?:to_apply|calls)=%([\w.-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_OP_NAME = re.compile(r'op_name="(.*?)"')


@dataclasses.dataclass(frozen=True)
class Traffic:
    """All-reduced bytes of the forward and of the backward pass.

    Forward are the statistics of batch norm. Backward are gradients: those of batch
    norm's scale and bias are the very sums that its input gradient needs.
    """

    forward: float = 0
    backward: float = 0

    def __add__(self, other: Traffic) -> Traffic:
        """One after the other."""
        return Traffic(self.forward + other.forward, self.backward + other.backward)

    def times(self, count: float) -> Traffic:
        """So often."""
        return Traffic(self.forward * count, self.backward * count)


def all_reduced(hlo: str) -> Traffic:
    """Count one run of a program.

    A loop counts as often as it runs, a conditional as the mean of its branches: the
    strict-fair update takes each branch once.

    Args:
      hlo: text of an optimized module.
    """
    bodies: dict[str, list[str]] = {}
    entry = name = ""
    for line in hlo.splitlines():
        if header := _HEADER.match(line):
            name = header[2]
            entry = name if header[1] else entry
            bodies[name] = []
        elif name:
            bodies[name].append(line)
    counted: dict[str, Traffic] = {}

    def computation(name: str) -> Traffic:
        if name not in counted:
            counted[name] = sum(map(instruction, bodies[name]), Traffic())
        return counted[name]

    def instruction(line: str) -> Traffic:
        if reduced := _ALL_REDUCE.search(line):
            return _of_result(reduced[1], line)
        if branches := _branches(line):
            every = sum(map(computation, branches), Traffic())
            return every.times(1 / len(branches))
        if body := _BODY.search(line):
            trips = _TRIPS.search(line)
            return computation(body[1]).times(int(trips[1]) if trips else 1)
        return sum(map(computation, _CALLED.findall(line)), Traffic())

    return computation(entry)


def _branches(line: str) -> list[str]:
    several = _BRANCHES.search(line)
    names = several[1].split(",") if several else _TWO_BRANCHES.findall(line)
    return [name.strip().lstrip("%") for name in names]


def _of_result(shapes: str, line: str) -> Traffic:
    """The bytes of an all-reduce, by the pass that its source belongs to."""
    size = sum(
        math.prod(int(side) for side in dimensions.split(",") if side) * int(bits) // 8
        for _, bits, dimensions in _SHAPE.findall(shapes)
    )
    source = _OP_NAME.search(line)
    backward = source is not None and "transpose(" in source[1]
    return Traffic(backward=size) if backward else Traffic(size)


def measure(trainable: str) -> dict[str, float]:
    """Compile the strict-fair update with the batch split over the devices."""
    import jax
    import jax.numpy as jnp

    from benchmarks.speed import difnas_update, network
    from difnas_jax.runtime.mesh import data_mesh, replicate, shard_batch

    space, mesh = network.six_ops(), data_mesh()
    step, state, batch = difnas_update.training(
        space, "supernet", trainable, BATCH_SIZE
    )
    paths = jnp.zeros((PATHS, space.num_layers), jnp.int32)
    arguments = replicate(state, mesh), shard_batch(batch, mesh), replicate(paths, mesh)
    compiled = jax.jit(step, donate_argnums=0).lower(*arguments).compile()
    return dataclasses.asdict(all_reduced(str(compiled.as_text())))


def collectives() -> dict[str, dict[str, float]]:
    """Bytes an update by what trains, each in a fresh process with four devices."""
    flags = f"--xla_force_host_platform_device_count={DEVICES}"
    return {
        trainable: run_in_fresh_process("collectives", trainable, XLA_FLAGS=flags)
        for trainable in ("all_bn", "all")
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
