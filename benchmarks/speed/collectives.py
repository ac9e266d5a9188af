"""Collectives of one update on eight devices, read from the optimized HLO.

As a program, `python -m benchmarks.speed.collectives "PLACEMENT TRAINABLE"` compiles
the strictly fair update for eight virtual devices and prints JSON. How many there are
and how large is decided by channels and weights, not by the images: small ones do.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from typing import Any

from benchmarks.speed.fresh_process import run_in_fresh_process

DEVICES, BATCH_SIZE, IMAGE_SIZE, CLASSES = 8, 32, 32, 1000
PLACED, TRAINED = ("batch", "paths"), ("all_bn", "all")

_HEADER = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_COLLECTIVE = re.compile(
    r"= (.*?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)"
    r"(?:-start)?\("
)
_SHAPE = re.compile(r"\b([a-z]+)(\d+)\[([\d,]*)\]")
_BRANCHES = re.compile(r"\bbranch_computations=\{(.*?)\}")
_TWO_BRANCHES = re.compile(r"\b(?:true|false)_computation=(%[\w.-]+)")
_BODY = re.compile(r"\bbody=%([\w.-]+)")
_CALLED = re.compile(r"\b(?:to_apply|calls)=%([\w.-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_OP_NAME = re.compile(r'op_name="(.*?)"')

# What the source of a collective contains -> its purpose; the first one counts.
# Gradients of batch norm's scale and bias are the very sums that the gradient of its
# input needs.
_PURPOSES = {"transpose(": "gradients", "psum": "gradients", "jvp(": "statistics"}

# (purpose, kind, `count` or `bytes`) -> how many
Traffic = Counter[tuple[str, str, str]]


def traffic(hlo: str) -> Traffic:
    """Count the collectives of one run of a program.

    A loop counts as often as it runs, a conditional as the mean of its branches: the
    strictly fair update takes each branch once.

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
            counted[name] = sum(map(instruction, bodies[name]), Counter())
        return counted[name]

    def instruction(line: str) -> Traffic:
        if found := _COLLECTIVE.search(line):
            return _of_result(found[1], found[2], line)
        if branches := _branches(line):
            every = sum(map(computation, branches), Counter())
            return _times(every, 1 / len(branches))
        if body := _BODY.search(line):
            trips = _TRIPS.search(line)
            return _times(computation(body[1]), int(trips[1]) if trips else 1)
        return sum(map(computation, _CALLED.findall(line)), Counter())

    return computation(entry)


def _times(traffic: Traffic, factor: float) -> Traffic:
    return Counter({key: factor * value for key, value in traffic.items()})  # type: ignore


def _branches(line: str) -> list[str]:
    several = _BRANCHES.search(line)
    names = several[1].split(",") if several else _TWO_BRANCHES.findall(line)
    return [name.strip().lstrip("%") for name in names]


def _of_result(shapes: str, kind: str, line: str) -> Traffic:
    """A collective with results of these shapes, one of them or a tuple."""
    size = sum(
        math.prod(int(side) for side in dimensions.split(",") if side) * int(bits) // 8
        for _, bits, dimensions in _SHAPE.findall(shapes)
    )
    source = _OP_NAME.search(line)
    names = source[1] if source else ""
    known = (purpose for part, purpose in _PURPOSES.items() if part in names)
    purpose = next(known, "paths")
    return Counter({(purpose, kind, "count"): 1, (purpose, kind, "bytes"): size})


def of_update(space: Any, placement: str, trainable: str) -> Traffic:
    """Compile the strictly fair update for the devices of this process.

    Args:
      space: of the supernet.
      placement: key of `placements.PLACEMENTS`.
      trainable: key of `fates.TRAINABLE`.
    """
    import jax
    import jax.numpy as jnp

    from benchmarks.speed import difnas_update
    from difnas_jax.runtime.mesh import data_mesh, replicate, shard_batch
    from difnas_jax.training.placements import PLACEMENTS

    mesh = data_mesh()
    step, state, batch = difnas_update.training(
        space,
        section="supernet",
        trainable=trainable,
        batch_size=BATCH_SIZE,
        mesh=mesh,
        fields={"placement": placement},
    )
    paths = max(len(layer.ops) for layer in space.layers)
    arguments = (
        replicate(state, mesh),
        shard_batch(batch, mesh, PLACEMENTS[placement].batch),
        replicate(jnp.zeros((paths, space.num_layers), jnp.int32), mesh),
    )
    compiled = jax.jit(step, donate_argnums=0).lower(*arguments).compile()
    return traffic(str(compiled.as_text()))


def measure(placement: str, trainable: str) -> dict[str, float]:
    """The collectives of the supernet of `mbv2` with its six convolutional ops.

    Returns:
      Purpose, kind and unit in one key, such as `gradients all-reduce bytes`.
    """
    from difnas_jax import spaces

    space = spaces.build(
        "mbv2", image_size=IMAGE_SIZE, image_channels=3, num_classes=CLASSES
    ).without_identity()
    found = of_update(space, placement, trainable)
    return {" ".join(key): value for key, value in sorted(found.items())}


def collectives() -> dict[str, dict[str, float]]:
    """By placement and what trains, each in a fresh process with eight devices."""
    flags = f"--xla_force_host_platform_device_count={DEVICES}"
    return {
        case: run_in_fresh_process("collectives", case, XLA_FLAGS=flags)
        for case in (f"{place} {trained}" for place in PLACED for trained in TRAINED)
    }


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1].split())))
