"""The spaces as data: one golden row per registered space, and bad input."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from difnas_jax import spaces
from difnas_jax.errors import InputError
from difnas_jax.spaces.base import SearchSpace, strided

NORMAL = (1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19)


class Golden(NamedTuple):
    """What a space must look like; from the released code of each method."""

    image_size: int
    channels: tuple[int, ...]
    layer_sizes: tuple[int, ...]
    identity: tuple[int, ...]
    free_layers: int
    size: int


GPU_CHANNELS = (24, *(32,) * 4, *(56,) * 4, *(112,) * 4, *(128,) * 4, *(256,) * 4, 432)
GPU_SIZES = (112, *(56,) * 4, *(28,) * 4, *(14,) * 8, *(7,) * 5)
GOLDEN = {
    "mbv2": Golden(224, GPU_CHANNELS, GPU_SIZES, NORMAL, 21, 6**6 * 7**15),
    "bnnas17": Golden(224, GPU_CHANNELS, GPU_SIZES, (1, 5, 6, 9), 17, 6**17),
    "fairnas19": Golden(
        224,
        (16, *(32,) * 2, *(40,) * 4, *(80,) * 4, *(96,) * 4, *(192,) * 4, 320),
        (112, *(56,) * 2, *(28,) * 4, *(14,) * 8, *(7,) * 5),
        (),
        19,
        6**19,
    ),
    "digits": Golden(
        16,
        (16, *(24,) * 3, *(40,) * 3, 64),
        (16, *(8,) * 3, *(4,) * 4),
        (1, 2, 4, 5),
        7,
        6**3 * 7**4,
    ),
}


def build(name: str) -> SearchSpace:
    """A registered space at the size it is made for."""
    golden = GOLDEN[name]
    return spaces.build(
        name, image_size=golden.image_size, image_channels=3, num_classes=10
    )


@pytest.fixture(params=sorted(spaces.SPACES))
def space(request: pytest.FixtureRequest) -> SearchSpace:
    """Every registered space in turn."""
    return build(request.param)


def random_architecture(space: SearchSpace, rng: np.random.Generator) -> list[int]:
    """One op of each layer, drawn uniformly."""
    return [int(rng.choice(layer.ops)) for layer in space.layers]


def test_every_space_has_a_golden_row() -> None:
    assert set(GOLDEN) == set(spaces.SPACES)


def test_space_is_the_published_one(space: SearchSpace) -> None:
    golden = GOLDEN[space.name]
    layers = enumerate(space.layers)
    assert space.layer_sizes == golden.layer_sizes
    assert space.layers[0].in_channels == golden.channels[0]
    assert tuple(layer.out_channels for layer in space.layers) == golden.channels[1:]
    assert tuple(i for i, x in layers if space.identity in x.ops) == golden.identity
    assert sum(len(layer.ops) > 1 for layer in space.layers) == golden.free_layers
    assert space.size == golden.size


def test_layers_fit_together(space: SearchSpace) -> None:
    if space.fixed:
        assert space.fixed[0].in_channels == space.stem_channels
        assert space.fixed[-1].out_channels == space.layers[0].in_channels
    for before, after in zip(space.layers, space.layers[1:], strict=False):
        assert before.out_channels == after.in_channels
    for layer in space.layers:
        assert layer.is_normal or space.identity not in layer.ops


def test_ops_are_the_six_of_mobilenet_and_identity(space: SearchSpace) -> None:
    names = [op.name for op in space.ops]
    assert names == ["k3e3", "k3e6", "k5e3", "k5e6", "k7e3", "k7e6", "identity"]
    for op in space.ops[:-1]:
        assert op.name == f"k{op.kernel}e{op.expansion}"


def test_allowed_agrees_with_the_layers(space: SearchSpace) -> None:
    assert space.allowed.shape == (space.num_layers, space.num_ops)
    for row, layer in zip(space.allowed, space.layers, strict=True):
        assert tuple(np.flatnonzero(row)) == layer.ops


def test_names_and_indices_round_trip(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        architecture = random_architecture(space, rng)
        names = space.op_names(architecture)
        assert names == tuple(space.ops[op].name for op in architecture)
        assert space.parse(names) == tuple(architecture)


def test_validate_returns_python_integers(space: SearchSpace) -> None:
    path = np.array(random_architecture(space, np.random.default_rng(1)), np.int32)
    architecture = space.validate(path)  # type: ignore[arg-type]
    assert isinstance(architecture, tuple)
    assert all(type(op) is int for op in architecture)


def test_wrong_length_is_refused(space: SearchSpace) -> None:
    with pytest.raises(InputError, match=f"expected {space.num_layers} op .*, got 1$"):
        space.validate([0])


@pytest.mark.parametrize("op", [-1, 7])
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


def test_unknown_name_is_refused(space: SearchSpace) -> None:
    with pytest.raises(InputError, match="unknown op 'k9e9'.*k3e3, k3e6"):
        space.parse(["k9e9"] * space.num_layers)


def test_without_identity(space: SearchSpace) -> None:
    reduced = space.without_identity()
    for layer, before in zip(reduced.layers, space.layers, strict=True):
        if before.ops == (space.identity,):
            assert layer == before
        else:
            assert layer.ops == (0, 1, 2, 3, 4, 5)
    assert reduced.size == 6 ** GOLDEN[space.name].free_layers
    assert reduced.without_identity() == reduced


def test_unknown_space_is_refused() -> None:
    with pytest.raises(InputError, match=r"space\.name: .*mbv2; got 'resnet'"):
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
