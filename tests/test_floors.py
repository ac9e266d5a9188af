"""What an update must move and multiply: counts by hand, and those of `costs`."""

import dataclasses

import numpy as np
import pytest

from benchmarks.speed import floors, network
from benchmarks.speed.floors import Limits, Update, Work
from benchmarks.speed.programs import PROGRAMS
from difnas_jax.spaces.base import Op
from difnas_jax.spaces.costs import cost_table
from difnas_jax.spaces.image import ImageLayer
from difnas_jax.spaces.mobilenet import digits, mbv2


@pytest.fixture
def by_hand():
    """4 x 4 pixels, stem of 2 channels, one layer 2 -> 4 at stride 2, head of 8."""
    return dataclasses.replace(
        digits(image_size=4, image_channels=1, num_classes=10),
        stem_channels=2,
        stem_stride=1,
        fixed=(),
        ops=(Op("k3e1", "inverted_residual", 3, 1),),
        layers=(ImageLayer(2, 4, 2, ops=(0,)),),
        head_channels=8,
    )


def test_batch_norms_alone(by_hand):
    found = floors.of_update(by_hand, [[0]], Update(1, map_bytes=1, trains=False))
    # Stem 16 -> 32 elements, depthwise 32 -> 8, project 8 -> 16, head 16 -> 32.
    assert found.macs == 288 + 2 * (72 + 32 + 128 + 80)
    weights = 4 * (18 + 2 * (18 + 8 + 32 + 80))
    least = (16 + 3 * 32) + 6 * (8 + 16 + 32)
    assert found.least == least + weights
    convolutions = 2 * (32 + 8 + 16) + 10 * (8 + 16 + 32)
    pooling = 2 * 32
    assert found.unfused == (16 + 6 * 32) + convolutions + pooling + weights


def test_all_weights(by_hand):
    found = floors.of_update(by_hand, [[0]], Update(1, map_bytes=1, trains=True))
    assert found.macs == 2 * 288 + 3 * (72 + 32 + 128 + 80)
    weights = 4 * (2 * 18 + 3 * (18 + 8 + 32 + 80))
    assert found.least == (2 * 16 + 6 * 32) + 6 * (8 + 16 + 32) + weights
    convolutions = 3 * (32 + 8 + 16) + 11 * (8 + 16 + 32)
    assert found.unfused == (2 * 16 + 10 * 32) + convolutions + 2 * 32 + weights


def test_a_skip_adds_its_maps():
    update, op = (
        Update(1, map_bytes=1, trains=False),
        Op("k", "inverted_residual", 3, 1),
    )
    shape = ImageLayer(2, 2, 1, ops=(0,))
    parts = update.conv(3, shape, 4, groups=2) + update.conv(1, shape, 4)
    assert update.block(op, shape, 4) == parts + Work(0, unfused=6 * 32, least=4 * 32)


def test_multiply_adds_are_those_of_the_costs(rng):
    space = network.seven_ops()
    path = [rng.choice(layer.ops) for layer in space.layers]
    found = floors.of_update(space, [path], Update(3, map_bytes=4, trains=True))
    macs = cost_table(space).of_one(path)["macs"]
    stem = 9 * space.image_channels * space.stem_channels * space.image_size**2
    assert found.macs == 3 * (3 * macs - stem)


def test_images_and_bytes_scale_the_maps_and_stems_are_shared(by_hand):
    once = Update(1, map_bytes=1, trains=False)
    one, two = (floors.of_update(by_hand, [[0]] * n, once) for n in (1, 2))
    stem = once.stem(ImageLayer(1, 2, 1, ops=()), 4)
    assert two + stem == one + one
    wide = dataclasses.replace(once, batch_size=5, map_bytes=2)
    maps, weights = wide.stem(ImageLayer(1, 2, 1, ops=()), 4).least, 4 * 18
    assert maps - weights == 10 * (stem.least - weights)


def test_the_slower_of_memory_and_arithmetic_counts():
    work = Work(macs=50, unfused=80, least=20)
    assert work.seconds(Limits(bandwidth=10, rate=100)) == 2
    assert work.seconds(Limits(bandwidth=10, rate=25)) == 4
    assert work.seconds(Limits(bandwidth=10, rate=100), "unfused") == 8


def test_the_estimate_of_a_path_at_224_pixels():
    """Some 150 maps, 30 GB in bfloat16 at batch 128, without fusion."""
    space = mbv2(image_size=224, image_channels=3, num_classes=1000)
    space = space.without_identity()
    paths = np.arange(6)[:, None].repeat(space.num_layers, 1)
    found = floors.of_update(space, paths, Update(128, map_bytes=2, trains=False))
    assert found.unfused / 6 == pytest.approx(30e9, rel=0.05)
    assert found.least < 0.6 * found.unfused


def test_a_single_path_is_the_mean_of_fair_ones():
    fair, single = (
        floors.of_program(PROGRAMS[name]) for name in ("difnas_fair", "difnas_single")
    )
    assert single.least < fair.least < 6 * single.least
