"""Multiply-adds and parameters against published and independently counted numbers."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from search_problems import supernet_params

from difnas_jax import spaces
from difnas_jax.spaces.base import Op, SearchSpace
from difnas_jax.spaces.chain import ChainSpace, FixedBlock, stage_layers
from difnas_jax.spaces.costs import (
    LINEAR_RULES,
    conv_bn,
    cost_table,
    inverted_residual,
)
from difnas_jax.spaces.image import ImageLayer, ImageSpace, Shape
from difnas_jax.spaces.mobilenet import SEPARABLE

PUBLISHED = "multiplies_and_adds"
BNNAS = (3, 6, 0, 4, 0, 6, 6, 0, 4, 6, 4, 4, 1, 4, 2, 0, 0, 4, 0, 2, 2)
SPOS = (0, 6, 0, 0, 4, 6, 6, 2, 0, 6, 4, 4, 3, 0, 2, 1, 0, 4, 2, 5, 2)
FAIRNAS_A = (4, 0, 4, 1, 5, 0, 0, 5, 5, 2, 1, 2, 2, 1, 1, 5, 1, 5, 3)


def imagenet(name: str) -> ImageSpace:
    """A space for 224 pixels and 1000 classes."""
    return spaces.build(name, image_size=224, image_channels=3, num_classes=1000)


def chain(name: str) -> ChainSpace:
    """A chain for 224 pixels and 1000 classes."""
    space = imagenet(name)
    assert isinstance(space, ChainSpace)
    return space


def uniform(space: SearchSpace, op: int) -> tuple[int, ...]:
    """The same op in every layer, identity where a layer is fixed to it."""
    return tuple(op if op in layer.ops else layer.ops[0] for layer in space.layers)


def cost(space: SearchSpace, architecture: tuple[int, ...], linear: str = "macs"):
    """MACs and parameters of one architecture as integers."""
    space.validate(architecture)
    costs = cost_table(space, linear=linear).of(np.array([architecture]))
    return costs["macs"].item(), costs["params"].item()


@pytest.mark.parametrize(
    "architecture, macs, params",
    [(BNNAS, 473_549_240, 5_228_536), (SPOS, 468_807_608, 5_780_560)],
)
@pytest.mark.parametrize("name", ["mbv2", "bnnas17"])
def test_published_architectures(
    name: str, architecture: tuple[int, ...], macs: int, params: int
) -> None:
    """BN-NAS reports 473.5 M / 5.2 M, and 468.8 M / 5.8 M for SPOS."""
    assert cost(imagenet(name), architecture, PUBLISHED) == (macs, params)


def test_fairnas_a() -> None:
    """Published as 388 M multiply-adds, the classifier counted as in * out."""
    macs, params = cost(imagenet("fairnas19"), FAIRNAS_A)
    assert round(macs / 1e6) == 388
    assert round(params / 1e6, 2) == 4.65


@pytest.mark.parametrize(
    "name, op, macs, params",
    [
        ("mbv2", 0, 462_635_960, 5_151_552),
        ("mbv2", 5, 1_038_400_856, 8_382_408),
        ("bnnas17", 0, 393_440_120, 5_022_016),
        ("bnnas17", 5, 849_582_296, 8_062_408),
        ("fairnas19", 0, 248_408_856, 3_189_080),
        ("fairnas19", 5, 558_684_696, 5_090_024),
    ],
)
def test_uniform_networks(name: str, op: int, macs: int, params: int) -> None:
    space = imagenet(name)
    assert cost(space, uniform(space, op), PUBLISHED) == (macs, params)


@pytest.mark.parametrize(
    "kernel, expansion, in_channels, out_channels, size, stride, macs",
    [
        (3, 3, 24, 32, 112, 2, 30_933_504),
        (7, 6, 256, 432, 7, 1, 55_469_568),
        (5, 6, 112, 112, 14, 1, 32_796_288),
        (7, 3, 56, 56, 28, 1, 21_205_632),
    ],
)
def test_blocks_of_the_published_table(
    kernel: int,
    expansion: int,
    in_channels: int,
    out_channels: int,
    size: int,
    stride: int,
    macs: int,
) -> None:
    op = Op("candidate", "inverted_residual", kernel, expansion)
    shape = Shape(in_channels, out_channels, stride)
    assert inverted_residual(op, shape, size)[0] == macs


def test_stem_and_head_of_the_published_table() -> None:
    table = cost_table(imagenet("mbv2"), linear=PUBLISHED)
    stem = (
        conv_bn(3, 3, 40, 112)[0]
        + inverted_residual(SEPARABLE, Shape(40, 24, 1), 112)[0]
    )
    assert stem == 30_105_600
    assert table.fixed["macs"] - stem == 40_033_304


CHAINS = [name for name in spaces.SPACES if isinstance(imagenet(name), ChainSpace)]


@pytest.mark.parametrize("name", CHAINS)
def test_linear_rules_differ_by_the_additions_of_the_classifier(name: str) -> None:
    space = chain(name)
    ours, published = cost_table(space), cost_table(space, linear=PUBLISHED)
    additions = (space.head_channels - 1) * space.num_classes
    assert published.fixed["macs"] - ours.fixed["macs"] == additions
    assert published.fixed["params"] == ours.fixed["params"]
    np.testing.assert_array_equal(published.tables["macs"], ours.tables["macs"])


def test_linear_rules() -> None:
    assert LINEAR_RULES["macs"](3, 2) == 6
    assert LINEAR_RULES[PUBLISHED](3, 2) == 10


MOBILENET_STAGES = (
    (24, 2, 2),
    (32, 2, 3),
    (64, 2, 4),
    (96, 1, 3),
    (160, 2, 3),
    (320, 1, 1),
)


def test_mobilenet_v2() -> None:
    """MobileNetV2-1.0 from the same blocks: 300.8 M MACs, 3.505 M parameters."""
    space = ChainSpace(
        name="mobilenet_v2",
        image_size=224,
        image_channels=3,
        num_classes=1000,
        stem_channels=32,
        stem_stride=2,
        fixed=(FixedBlock(32, 16, 1, SEPARABLE),),
        ops=(Op("k3e6", "inverted_residual", 3, 6),),
        layers=tuple(
            dataclasses.replace(layer, ops=(0,))
            for layer in stage_layers(16, MOBILENET_STAGES, reducing=6, normal=6)
        ),
        head_channels=1280,
    )
    assert space.size == 1
    assert cost(space, (0,) * 16) == (300_774_272, 3_504_872)


@dataclasses.dataclass(frozen=True)
class Conv:
    """One convolution of a supernet with the batch norm behind it."""

    kernel_weights: int
    channels: int
    indicator: bool = False

    @property
    def batch_norm(self) -> int:
        """Scale and bias."""
        return 2 * self.channels


def block_convs(op: Op, layer: ImageLayer | FixedBlock) -> Iterator[Conv]:
    """The convolutions of one inverted residual."""
    hidden = op.expansion * layer.in_channels
    if op.expansion > 1:
        yield Conv(layer.in_channels * hidden, hidden)
    yield Conv(op.kernel**2 * hidden, hidden)
    yield Conv(
        hidden * layer.out_channels, layer.out_channels, isinstance(layer, ImageLayer)
    )


def supernet_convs(space: ChainSpace) -> Iterator[Conv]:
    """Every convolution of a supernet, in order."""
    yield Conv(9 * space.image_channels * space.stem_channels, space.stem_channels)
    for block in space.fixed:
        yield from block_convs(block.op, block)
    for layer in space.layers:
        for op in layer.ops:
            if op != space.identity:
                yield from block_convs(space.ops[op], layer)
    last = space.layers[-1].out_channels
    yield Conv(last * space.head_channels, space.head_channels)


@pytest.mark.parametrize(
    "name, total, batch_norm, indicator",
    [
        ("mbv2", 27_684_320, 291_760, 33_216),
        ("fairnas19", 15_992_600, 211_808, 24_192),
    ],
)
def test_supernet_parameters(
    name: str, total: int, batch_norm: int, indicator: int
) -> None:
    space = chain(name)
    convs = list(supernet_convs(space))
    classifier = (space.head_channels + 1) * space.num_classes
    counted = sum(conv.kernel_weights + conv.batch_norm for conv in convs)
    assert counted + classifier == supernet_params(space) == total
    assert sum(conv.batch_norm for conv in convs) == batch_norm
    assert sum(conv.batch_norm for conv in convs if conv.indicator) == indicator


def test_layer_indicator_parameters() -> None:
    space = imagenet("mbv2")
    normal = [layer for layer in space.layers if space.identity in layer.ops]
    assert sum(2 * layer.out_channels for layer in normal) == 3_504


@pytest.mark.parametrize("name", sorted(spaces.SPACES))
def test_cost_of_many_is_a_plain_sum(name: str) -> None:
    space = imagenet(name)
    table = cost_table(space)
    rng = np.random.default_rng(0)
    drawn = np.stack([rng.choice(layer.ops, 12) for layer in space.layers], axis=-1)
    for name, costs in table.of(drawn.reshape(3, 4, -1)).items():
        assert costs.shape == (3, 4)
        for index, architecture in enumerate(drawn.tolist()):
            chosen = enumerate(architecture)
            expected = sum(int(table.tables[name][where]) for where in chosen)
            assert costs.flat[index] == expected + table.fixed[name]


def test_identity_and_ops_that_are_not_allowed_cost_nothing() -> None:
    space = imagenet("mbv2")
    table = cost_table(space)
    costly = space.allowed.copy()
    costly[:, space.identity] = False
    for cost_of in table.tables.values():
        np.testing.assert_array_equal(cost_of > 0, costly)


def test_larger_image_costs_more_macs_and_the_same_parameters() -> None:
    small, large = (
        spaces.build("mbv2", image_size=size, image_channels=3, num_classes=10)
        for size in (128, 256)
    )
    architecture = (0,) * 21
    classifier = 1728 * 10
    macs, params = cost(small, architecture)
    assert cost(large, architecture) == (4 * (macs - classifier) + classifier, params)


SHUFFLENET = (2, 1, 0, 1, 2, 0, 2, 0, 2, 0, 2, 3, 0, 0, 0, 0, 3, 2, 3, 3)


@pytest.mark.parametrize(
    ("architecture", "macs", "params"),
    [
        ((0,) * 20, 295_842_496, 3_154_880),
        ((1,) * 20, 313_654_976, 3_211_968),
        ((2,) * 20, 340_373_696, 3_297_600),
        ((3,) * 20, 358_825_920, 3_870_816),
        (SHUFFLENET, 322_918_720, 3_558_464),
    ],
)
def test_shufflenet(architecture: tuple[int, ...], macs: int, params: int) -> None:
    """295.84, 313.65, 340.37, 358.83 M; SPOS reports 323 M and 3.5 M for the last."""
    assert cost(imagenet("shufflenetv2"), architecture) == (macs, params)


def macro() -> SearchSpace:
    """NAS-Bench-Macro as the benchmark has it."""
    return spaces.build(
        "nas_bench_macro", image_size=32, image_channels=3, num_classes=10
    )


def test_every_row_of_nas_bench_macro(shared_data: Path) -> None:
    """Counts, and equal records exactly where networks are equal."""
    table = json.loads((shared_data / "nas_bench_macro_half.json").read_text())
    genomes = np.array([[int(op) for op in name] for name in table])
    rows = list(table.values())
    costs = cost_table(macro()).of(genomes)
    np.testing.assert_array_equal(costs["macs"], [row["flops"] for row in rows])
    np.testing.assert_array_equal(costs["params"], [row["params"] for row in rows])
    classes = [tuple(genome) for genome in macro().canonical(genomes).tolist()]
    records = [json.dumps(row) for row in rows]
    pairs = set(zip(classes, records, strict=True))
    assert len(set(classes)) == len(set(records)) == len(pairs)


def test_every_row_of_nas_bench_201(shared_data: Path) -> None:
    """Strings, counts, and how our classes relate to the published ones.

    The published classes compare strings: they merge a convolution of zero with zero,
    and miss sums that are equal only after opening the brackets.
    """
    with open(shared_data / "nb201_half.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    space = spaces.build(
        "nas_bench_201", image_size=32, image_channels=3, num_classes=10
    )
    genomes = np.array([space.parse([row["arch"]]) for row in rows])
    assert [space.text(genome) for genome in genomes] == [row["arch"] for row in rows]
    costs = cost_table(space, linear="macs_and_bias").of(genomes)
    flops, params = ([int(row[name]) for row in rows] for name in ("flops", "params"))
    np.testing.assert_array_equal(costs["macs"], flops)
    np.testing.assert_array_equal(costs["params"], params)
    accuracy = np.array([float(row["test_c10"]) for row in rows])
    connected = space.is_connected(genomes)
    assert (accuracy[~connected] == 10).all() and (accuracy[connected] > 40).all()
