"""The spaces as data: one golden row per registered space, and bad input."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
from search_problems import every_architecture

from difnas_jax import spaces
from difnas_jax.errors import InputError
from difnas_jax.search.additive import score_table
from difnas_jax.search.equal_networks import highest_scoring_paths
from difnas_jax.spaces.base import Layer, Op, SearchSpace
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.costs import cost_table
from difnas_jax.spaces.image import ImageSpace, strided

NORMAL = (1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19)


class Golden(NamedTuple):
    """What a space must look like; from the released code of each method.

    Attributes:
      image_size: that it is made for.
      channels: before the first layer, then behind each.
      layer_sizes: side of the input of each layer and of the head.
      identity: layers that allow identity.
      skippable: those of them where it passes its input on.
      free_layers: layers with several ops.
      size: number of architectures.
    """

    image_size: int
    channels: tuple[int, ...]
    layer_sizes: tuple[int, ...]
    identity: tuple[int, ...]
    skippable: tuple[int, ...]
    free_layers: int
    size: int


GPU_CHANNELS = (24, *(32,) * 4, *(56,) * 4, *(112,) * 4, *(128,) * 4, *(256,) * 4, 432)
GPU_SIZES = (112, *(56,) * 4, *(28,) * 4, *(14,) * 8, *(7,) * 5)
FIXED = (1, 5, 6, 9)
SHUFFLED = (1, 2, 3, 5, 6, 7, *range(9, 16), 17, 18, 19)
GOLDEN = {
    "mbv2": Golden(224, GPU_CHANNELS, GPU_SIZES, NORMAL, NORMAL, 21, 6**6 * 7**15),
    "bnnas17": Golden(224, GPU_CHANNELS, GPU_SIZES, FIXED, FIXED, 17, 6**17),
    "fairnas19": Golden(
        image_size=224,
        channels=(16, *(32,) * 2, *(40,) * 4, *(80,) * 4, *(96,) * 4, *(192,) * 4, 320),
        layer_sizes=(112, *(56,) * 2, *(28,) * 4, *(14,) * 8, *(7,) * 5),
        identity=(),
        skippable=(),
        free_layers=19,
        size=6**19,
    ),
    "digits": Golden(
        image_size=16,
        channels=(16, *(24,) * 3, *(40,) * 3, 64),
        layer_sizes=(16, *(8,) * 3, *(4,) * 4),
        identity=(1, 2, 4, 5),
        skippable=(1, 2, 4, 5),
        free_layers=7,
        size=6**3 * 7**4,
    ),
    "dense": Golden(
        image_size=8,
        channels=(192, *(64,) * 6),
        layer_sizes=(1,) * 7,
        identity=(4, 5),
        skippable=(4, 5),
        free_layers=6,
        size=6 * 12**3 * 13**2,
    ),
    "shufflenetv2": Golden(
        image_size=224,
        channels=(16, *(64,) * 4, *(160,) * 4, *(320,) * 8, *(640,) * 4),
        layer_sizes=(112, *(56,) * 4, *(28,) * 4, *(14,) * 8, *(7,) * 4),
        identity=SHUFFLED,
        skippable=SHUFFLED,
        free_layers=20,
        size=4**4 * 5**16,
    ),
    "nas_bench_macro": Golden(
        image_size=32,
        channels=(32, *(64,) * 2, *(128,) * 3, *(256,) * 3),
        layer_sizes=(32, *(16,) * 2, *(8,) * 3, *(4,) * 3),
        identity=tuple(range(8)),
        skippable=(1, 3, 4, 6, 7),
        free_layers=8,
        size=6561,
    ),
    "nas_bench_201": Golden(
        image_size=32,
        channels=(16,) * 7,
        layer_sizes=(*(32,) * 6, 8),
        identity=tuple(range(6)),
        skippable=tuple(range(6)),
        free_layers=6,
        size=15_625,
    ),
}


def build(name: str) -> ImageSpace:
    """A registered space at the size it is made for."""
    golden = GOLDEN[name]
    return spaces.build(
        name, image_size=golden.image_size, image_channels=3, num_classes=10
    )


@pytest.fixture(params=sorted(spaces.SPACES))
def space(request: pytest.FixtureRequest) -> ImageSpace:
    """Every registered space in turn."""
    return build(request.param)


def random_architecture(space: SearchSpace, rng: np.random.Generator) -> list[int]:
    """One op of each layer, drawn uniformly."""
    return [int(rng.choice(layer.ops)) for layer in space.layers]


def test_every_space_has_a_golden_row() -> None:
    assert set(GOLDEN) == set(spaces.SPACES)


def test_space_is_the_published_one(space: ImageSpace) -> None:
    golden = GOLDEN[space.name]
    layers = enumerate(space.layers)
    assert space.layer_sizes == golden.layer_sizes
    assert space.layers[0].in_channels == golden.channels[0]
    assert tuple(layer.out_channels for layer in space.layers) == golden.channels[1:]
    assert tuple(i for i, x in layers if space.identity in x.ops) == golden.identity
    assert tuple(np.flatnonzero(space.skippable)) == golden.skippable
    assert sum(len(layer.ops) > 1 for layer in space.layers) == golden.free_layers
    assert space.size == golden.size


def test_layers_fit_together(space: ImageSpace) -> None:
    if isinstance(space, ChainSpace):
        before = space.stem_channels
        for block in (*space.fixed, *space.layers):
            assert block.in_channels == before
            before = block.out_channels
    for layer, skippable in zip(space.layers, space.skippable, strict=True):
        assert skippable == (layer.is_normal and space.identity in layer.ops)


@pytest.mark.parametrize("name", ["mbv2", "bnnas17", "fairnas19", "digits"])
def test_ops_are_the_six_of_mobilenet_and_identity(name: str) -> None:
    names = [op.name for op in build(name).ops]
    assert names == ["k3e3", "k3e6", "k5e3", "k5e6", "k7e3", "k7e6", "identity"]
    for op in build(name).ops[:-1]:
        assert op.name == f"k{op.kernel}e{op.expansion}"


def test_allowed_agrees_with_the_layers(space: ImageSpace) -> None:
    assert space.allowed.shape == (space.num_layers, space.num_ops)
    for row, layer in zip(space.allowed, space.layers, strict=True):
        assert tuple(np.flatnonzero(row)) == layer.ops


def test_names_and_indices_round_trip(space: ImageSpace) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        architecture = random_architecture(space, rng)
        names = space.op_names(architecture)
        assert names == tuple(space.ops[op].name for op in architecture)
        assert space.parse(names) == tuple(architecture)
        assert all(name in space.text(architecture) for name in names)


def test_validate_returns_python_integers(space: ImageSpace) -> None:
    path = np.array(random_architecture(space, np.random.default_rng(1)), np.int32)
    architecture = space.validate(path)  # type: ignore[arg-type]
    assert isinstance(architecture, tuple)
    assert all(type(op) is int for op in architecture)


def test_wrong_length_is_refused(space: ImageSpace) -> None:
    with pytest.raises(InputError, match=f"expected {space.num_layers} op .*, got 1$"):
        space.validate([0])


@pytest.mark.parametrize("op", [-1, 99])
def test_op_that_does_not_exist_is_refused(space: SearchSpace, op: int) -> None:
    architecture = random_architecture(space, np.random.default_rng(2))
    architecture[3] = op
    with pytest.raises(InputError, match=f"layer 3 .* does not allow op {op}"):
        space.validate(architecture)


def test_identity_in_a_reduction_layer_is_refused() -> None:
    with pytest.raises(InputError, match="layer 12 .* does not allow op 6"):
        build("mbv2").validate([0] * 12 + [6] + [0] * 8)


def test_candidate_in_a_layer_fixed_to_identity_is_refused() -> None:
    with pytest.raises(InputError, match=r"layer 1 .* allows 6 \(identity\)"):
        build("bnnas17").validate([0] * 21)


def test_unknown_name_is_refused(space: ImageSpace) -> None:
    with pytest.raises(InputError, match=f"unknown op 'k9e9'.*{space.ops[0].name}, "):
        space.parse(["k9e9"] * space.num_layers)


def test_without_identity(space: ImageSpace) -> None:
    """It goes wherever it passes the input on and is not the only op."""
    reduced = space.without_identity()
    for number, layer in enumerate(space.layers):
        kept = set(layer.ops)
        if number in GOLDEN[space.name].skippable and len(layer.ops) > 1:
            kept -= {space.identity}
        assert set(reduced.layers[number].ops) == kept
    assert reduced.without_identity() == reduced


def test_a_shape_changing_identity_stays() -> None:
    layers = build("nas_bench_macro").without_identity().layers
    assert [layer.ops for layer in layers[:2]] == [(0, 1, 2), (1, 2)]


def test_unknown_space_is_refused() -> None:
    with pytest.raises(InputError, match=r"space\.name: .*mbv2, .*; got 'resnet'"):
        spaces.build("resnet", image_size=224, image_channels=3, num_classes=10)


@pytest.mark.parametrize("field", ["image_size", "image_channels", "num_classes"])
def test_impossible_size_is_refused(field: str) -> None:
    sizes = {"image_size": 224, "image_channels": 3, "num_classes": 10, field: 0}
    with pytest.raises(InputError, match=rf"space\.{field}: .*got 0"):
        spaces.build("mbv2", **sizes)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_strided_is_the_size_of_a_padded_convolution(kernel: int, stride: int) -> None:
    for size in range(1, 40):
        padded = size + 2 * (kernel // 2)
        positions = range(0, padded - kernel + 1, stride)
        assert strided(size, stride) == len(positions)


def test_canonical_is_a_projection_within_the_space(space: ImageSpace) -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([random_architecture(space, rng) for _ in range(200)])
    canonical = space.canonical(drawn)
    np.testing.assert_array_equal(space.canonical(canonical), canonical)
    assert space.allowed[np.arange(space.num_layers), canonical].all()
    table = cost_table(space)
    for name, cost in table.of(drawn).items():
        np.testing.assert_array_equal(table.of(canonical)[name], cost)


def test_canonical_packs_a_run_and_keeps_its_order() -> None:
    genome = [[0, 6, 3, 6, 1, 6, 6, 2, *[5] * 13]]
    packed = [[0, 3, 6, 6, 1, 2, 6, 6, *[5] * 13]]
    np.testing.assert_array_equal(build("mbv2").canonical(np.array(genome)), packed)


def test_nas_bench_macro_has_the_published_number_of_networks() -> None:
    space = build("nas_bench_macro")
    canonical = space.canonical(every_architecture(space))
    assert len(np.unique(canonical, axis=0)) == 3969


def cell() -> CellSpace:
    """NAS-Bench-201."""
    space = build("nas_bench_201")
    assert isinstance(space, CellSpace)
    return space


OFFICIAL = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|"


def test_official_string_of_a_cell() -> None:
    architecture = (3, 0, 4, 1, 0, 0)
    assert cell().text(architecture) == OFFICIAL
    assert cell().parse([OFFICIAL]) == architecture


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OFFICIAL[:-1], r"expected the form '\|nor"),
        (OFFICIAL.replace("~2", "~1"), r"expected the form '\|nor"),
        (OFFICIAL.replace("|+|", "|"), r"expected the form '\|nor"),
        (OFFICIAL.replace("none", "nothing"), "unknown op 'nothing'"),
        (OFFICIAL + "none~1|", "expected 6 op indices"),
    ],
)
def test_malformed_string_of_a_cell(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cell().parse([text])


def test_connected_cells() -> None:
    dead = [(0, 0, 3, 0, 3, 3), (3, 3, 3, 0, 0, 0), (3, 0, 0, 0, 0, 3)]
    alive = [(0, 0, 0, 1, 0, 0), (4, 0, 2, 0, 0, 1), (2, 0, 0, 0, 3, 0)]
    assert not cell().is_connected(np.array(dead)).any()
    assert cell().is_connected(np.array(alive)).all()
    space = build("mbv2")
    assert space.is_connected(np.zeros((3, 21), int)).tolist() == [True] * 3


def test_what_zero_ops_can_cut_off() -> None:
    """A cell with one way through that allows none of them is always connected."""
    assert build("mbv2").always_connected and not cell().always_connected
    layers = list(cell().layers)
    layers[3] = dataclasses.replace(layers[3], ops=(1, 2))  # from input to output
    assert dataclasses.replace(cell(), layers=tuple(layers)).always_connected


def expression(space: CellSpace, architecture: np.ndarray) -> tuple:
    """What a cell computes, as a sorted sum of nested terms; () is zero."""
    nodes: dict[int, list] = {0: ["input"]}
    for (source, target), op in zip(space.edges, architecture, strict=True):
        terms, kind = tuple(nodes[source]), space.ops[op].kind
        if kind == "identity":
            new = list(terms)
        elif kind == "zero" or (kind == "avg_pool" and not terms):
            new = []
        else:
            new = [(space.ops[op].name, terms)]
        nodes[target] = sorted(nodes.get(target, []) + new, key=repr)
    return tuple(nodes[space.num_nodes - 1])


def test_classes_of_cells_are_those_of_their_expressions() -> None:
    """Same function and same convolutions: the same class, over the whole space."""
    space, everything = cell(), every_architecture(cell())
    names = [
        (expression(space, ops), (ops == 2).sum(), (ops == 3).sum())
        for ops in everything
    ]
    classes = [tuple(ops) for ops in space.canonical(everything).tolist()]
    pairs = set(zip(names, classes, strict=True))
    assert len(set(names)) == len(set(classes)) == len(pairs)


def test_a_space_need_not_be_one_of_images() -> None:
    """The base class alone: no sizes, no channels, and identity passes its input on."""
    ops = Op("dense", "dense"), Op("identity", "identity")
    layers = Layer(ops=(0, 1)), Layer(ops=(0,))
    space = SearchSpace("dense", num_classes=3, ops=ops, layers=layers)
    assert space.size == 2 and space.parse(["identity", "dense"]) == (1, 0)
    assert space.skippable.tolist() == [True, False]
    assert space.without_identity().layers == (Layer(ops=(0,)), Layer(ops=(0,)))
    assert space.cut((1, 0)).allowed.tolist() == [[False, True], [True, False]]
    indicator = np.array([[3.0, 2.0], [5.0, np.nan]])
    score = score_table(indicator, space, rule="ratio", dropped="zero")
    np.testing.assert_array_equal(score, [[1.5, 1.0], [1.0, np.nan]])
    paths = np.array([[1, 0], [0, 0]])
    np.testing.assert_array_equal(highest_scoring_paths(paths, score, space), paths)
