"""Columns of many architectures: devices, repeats, subsets of ops, and bad requests."""

import dataclasses
import functools

import numpy as np
import pytest

from difnas_jax.config import default
from difnas_jax.config.build import build_space
from difnas_jax.errors import InputError
from difnas_jax.scoring.proxies import COLUMNS
from difnas_jax.scoring.proxies.measurement import ProxyMeasure, proxy_columns
from difnas_jax.scoring.proxies.networks import REDUCTIONS
from difnas_jax.spaces import SPACES
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.chain import ChainSpace

NAMES = ("linear_regions", "macs", "region_share")
CELLS = np.array([(3, 2, 3, 1, 4, 3), (2, 0, 3, 1, 0, 2), (1, 1, 4, 4, 2, 0)])


def config(**method):
    changed = default()
    changed.space.update(
        name="nas_bench_201", image_size=8, image_channels=1, num_classes=10
    )
    changed.data.source = "digits"
    changed.method.update(method)
    return changed


@functools.cache
def measure(**method) -> ProxyMeasure:
    return proxy_columns(config(**method), NAMES)


def test_architectures_do_not_depend_on_their_company() -> None:
    """Three on two devices, and each of them alone: the same bits."""
    together = measure()(CELLS)
    assert list(together) == list(NAMES)
    for row, cell in enumerate(CELLS):
        alone = measure()(cell[None])
        for name in NAMES:
            assert alone[name] == together[name][row : row + 1]
    assert len(set(together["linear_regions"])) == len(CELLS)


def test_the_same_seed_gives_the_same_bits() -> None:
    again = proxy_columns(config(), NAMES)(CELLS)
    for name, values in measure()(CELLS).items():
        np.testing.assert_array_equal(again[name], values)


def test_a_column_is_the_mean_of_its_repeats() -> None:
    """And the first repeat is that of a single one."""
    every = np.eye(5, dtype=bool)[CELLS]
    repeats = measure(proxy_repeats=2).of_subsets(every)
    assert list(repeats) == [name for name in NAMES if name != "macs"]
    regions = repeats["linear_regions"]
    assert regions.shape == (3, 2)
    np.testing.assert_array_equal(regions[:, 0], measure()(CELLS)["linear_regions"])
    mean = measure(proxy_repeats=2)(CELLS)["linear_regions"]
    np.testing.assert_array_equal(mean, regions.mean(1))
    assert (regions[:, 0] != regions[:, 1]).any()


def test_each_proxy_on_its_own_gives_the_same() -> None:
    parts = measure().by_proxy()
    assert list(parts) == ["linear_regions", "costs"]
    for one in parts.values():
        for name, values in one(CELLS).items():
            np.testing.assert_array_equal(values, measure()(CELLS)[name])
    assert sum(one.images for one in parts.values()) == measure().images


def test_kernels_change_the_score() -> None:
    one, other = measure(), measure(proxy_kernels="uniform_fan_in")
    name = "linear_regions"
    assert (one(CELLS)[name] != other(CELLS)[name]).any()


def test_images_are_counted() -> None:
    assert measure().images == 1000
    assert measure(proxy_repeats=2).images == 2000


def test_held_out_images_need_a_validation_split() -> None:
    changed = config()
    changed.data.validation_fraction = 0.0
    with pytest.raises(InputError, match="validation_fraction"):
        proxy_columns(changed, ("regression_error",))


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("space", ["nas_bench_201", "mbv2", "shufflenetv2", "dense"])
def test_reduced_networks_have_the_choices_of_the_whole(name: str, space: str) -> None:
    changed = config()
    changed.space.update(name=space, image_size=32, image_channels=3)
    whole = build_space(changed)
    reduced = REDUCTIONS[name](whole)
    assert reduced.ops == whole.ops
    np.testing.assert_array_equal(reduced.allowed, whole.allowed)
    if isinstance(reduced, CellSpace) and isinstance(whole, CellSpace):
        assert reduced.cells <= whole.cells
    widths = [layer.out_channels for layer in reduced.layers]
    assert all(
        width <= layer.out_channels
        for width, layer in zip(widths, whole.layers, strict=True)
    )


def test_directions_are_known() -> None:
    lower = {name for name, column in COLUMNS.items() if not column.higher_is_better}
    assert lower >= {"ntk_condition", "ntk_label_energy", "regression_error"}


@pytest.mark.parametrize(("space", "size"), [("nas_bench_201", 28), ("tiny", 15)])
def test_sides_that_do_not_halve(
    space: str, size: int, tiny: ChainSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SPACES, "tiny", functools.partial(dataclasses.replace, tiny))
    changed = config()
    changed.space.update(name=space, image_size=size)
    whole = build_space(changed)
    path = np.array([[layer.ops[-1] for layer in whole.layers]])
    (value,) = proxy_columns(changed, ("trainability",))(path)["trainability"]
    assert np.isfinite(value)


def test_units_of_fully_connected_networks_have_codes() -> None:
    changed = config()
    changed.space.name = "dense"
    relu, deep = (0, 0, 0, 0, 0, 0), (0, 1, 2, 3, 4, 5)
    found = proxy_columns(changed, ("linear_regions", "synflow"))
    values = found(np.array([relu, deep]))
    assert values["linear_regions"].min() > 10
    # SynFlow puts the same activation everywhere, so that the network is linear.
    assert np.isfinite(values["synflow"]).all()


def test_too_few_images_are_refused() -> None:
    changed = config()
    changed.data.validation_fraction = 0.01
    with pytest.raises(InputError, match="at least 64 images"):
        proxy_columns(changed, ("ntk_condition",))
