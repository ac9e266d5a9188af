"""Collectives of an update on eight devices, and what the formula makes of them."""

import json
import subprocess
import sys

import pytest
from jobs import ROOT, environment

from benchmarks.speed import scale
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.models.networks import network

EIGHT = "--xla_force_host_platform_device_count=8"
COUNT = """
import json, sys
sys.path.insert(0, "tests")
from benchmarks.speed.collectives import PLACED, TRAINED, of_update
from test_collectives import small

cases = [(placed, trained) for placed in PLACED for trained in TRAINED]
found = {" ".join(case): of_update(small(), *case) for case in cases}
listed = {c: {" ".join(key): v for key, v in of.items()} for c, of in found.items()}
print(json.dumps(listed))
"""
PATHS = 2


def small():
    """Two layers of the benchmark's network, with two ops each."""
    import dataclasses

    from benchmarks.speed.network import two_ops

    space = two_ops()
    return dataclasses.replace(space, layers=space.layers[:2], image_size=8)


@pytest.fixture(scope="module")
def found():
    """Case -> collectives, of programs compiled for eight devices."""
    flags = f"{environment()['XLA_FLAGS']} {EIGHT}"
    command = [sys.executable, "-c", COUNT]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(XLA_FLAGS=flags), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def batch_norms(after):
    """(how many pass in an update, sum of their channels).

    Every op of a layer runs once, and so does what is before the layers; what follows
    them runs so many times.
    """
    space = small()
    model = network(space, dropout=0.0, dtype="float32", rematerialize=False)
    count = channels = 0
    for name, module in variable_shapes(model)["params"].items():
        layers = name.startswith("layer_")
        times = 1 if layers else after if name == "bn_head" else 1
        stack = [(name, module)]
        while stack:
            name, module = stack.pop()
            if name.startswith("bn_"):
                count += times
                channels += times * module["scale"].size
            elif isinstance(module, dict):
                stack += module.items()
    return count, channels


def test_each_batch_norm_sums_once_in_each_pass_over_a_divided_batch(found):
    bn_only, whole = found["batch all_bn"], found["batch all"]
    count, channels = batch_norms(after=PATHS)
    for case in (bn_only, whole):
        assert case["statistics all-reduce count"] == count
        assert case["statistics all-reduce bytes"] == 2 * 4 * channels
    # Loss and accuracy of each path travel with a gradient.
    assert bn_only["gradients all-reduce count"] == count
    expected = 2 * 4 * channels + 2 * 4 * PATHS
    assert bn_only["gradients all-reduce bytes"] == expected
    kinds = {key.split()[1] for case in (bn_only, whole) for key in case}
    assert kinds == {"all-reduce"}


def test_divided_paths_meet_once(found):
    for trained in ("all_bn", "all"):
        case = found[f"paths {trained}"]
        assert case["gradients all-reduce count"] == 1
        assert not any("statistics" in key for key in case)
    _, channels = batch_norms(after=1)
    # Scales and biases, and the sums of loss and accuracy.
    expected = 4 * (2 * channels + 2)
    assert found["paths all_bn"]["gradients all-reduce bytes"] == expected


def test_a_ring_sends_almost_twice_the_bytes_and_waits_for_each_collective():
    link = scale.Devices("", count=4, bandwidth=100.0, latency=0.5)
    assert link.seconds(collectives=3, size=200.0) == 3 * 0.5 + 2 * 3 / 4 * 200 / 100
