"""The laws of every op, and the command that holds the claims against them."""

import dataclasses
import math

import numpy as np
import pytest

from benchmarks.isometry import command, fairness, outputs, spectra
from benchmarks.isometry.spectra import INITIALISATIONS, cases
from difnas_jax.isometry import composition, laws, singular_values
from difnas_jax.isometry.cases import Case
from difnas_jax.isometry.passes import Passes
from difnas_jax.spaces import SPACES
from difnas_jax.spaces.base import Op

HE = INITIALISATIONS["he"]
UNIT_NORM = INITIALISATIONS["orthogonal, unit_norm"]
DELTA = INITIALISATIONS["orthogonal, delta"]
BORDERLESS = 1000  # pixels, of which the border is next to nothing


def inverted_residual(kernel, expansion, side=BORDERLESS):
    op = Op("op", "inverted_residual", kernel, expansion)
    return Case(op, "relu6", 24, 24, 1, side)


def shuffling(kind, side, kernel=3, channels=96):
    return Case(Op("op", kind, kernel), "relu", channels, channels, 1, side)


@pytest.mark.parametrize("kernel", [3, 7])
@pytest.mark.parametrize("expansion", [3, 6])
def test_laws_of_the_inverted_residual(kernel, expansion):
    """P1: 2.152; P2: 1 + 2/t orthogonal, 1 + 4/t Gaussian, for any random filter."""
    case = inverted_residual(kernel, expansion)
    for rule, spread in ((UNIT_NORM, 1 + 2 / expansion), (HE, 1 + 4 / expansion)):
        found = laws.law(case, rule, "branch")
        assert found.mean == pytest.approx((math.pi / (math.pi - 1)) ** 2, rel=0.01)
        assert found.spread == pytest.approx(spread, rel=0.02)
        assert laws.law(case, rule, "op").mean == pytest.approx(1 + found.mean)


def test_laws_of_the_shuffling_blocks():
    """P5: 1.467^2 and 1.467^3, and half of all singular values are 1."""
    step = math.pi / (math.pi - 1)
    for kind, steps in (("shuffle", 2), ("xception", 3)):
        case = shuffling(kind, BORDERLESS)
        branch = laws.law(case, UNIT_NORM, "branch")
        assert branch.mean == pytest.approx(step**steps, rel=0.01)
        whole = laws.law(case, UNIT_NORM, "op")
        assert whole.mean == pytest.approx((1 + branch.mean) / 2)
        # A Gaussian matrix adds 1 to the spread, an orthogonal one nothing.
        gaussian = laws.law(case, HE, "branch")
        assert gaussian.spread - branch.spread == pytest.approx(steps, rel=0.1)


def test_chain_follows_from_freeness(rng):
    """Of two matrices that nobody made for the law."""
    first, second = rng.standard_normal((600, 300)), rng.standard_normal((400, 600))
    second[:, ::3] = 0
    parts = [
        composition.Law(*singular_values.moments(m), len(m) / m.shape[1])
        for m in (first, second)
    ]
    expected = composition.chain(*parts)
    mean, spread = singular_values.moments(second @ first)
    assert (mean, spread) == pytest.approx(expected[:2], rel=0.03)


@pytest.mark.parametrize("kind, mean", [("shuffle", 2.152), ("xception", 3.157)])
def test_p5_measured(kind, mean):
    """The candidates of a ShuffleNetV2 layer are not equal in mean.

    With centre taps, which no border touches.
    """
    case = shuffling(kind, side=4)
    found = [singular_values.measure(case, DELTA, seed) for seed in range(6)]
    branch = np.mean([parts["branch"][0] for parts in found])
    assert branch == pytest.approx(mean, rel=0.05)
    whole = np.mean([parts["op"][0] for parts in found])
    assert whole == pytest.approx((1 + branch) / 2, rel=1e-3)


def test_one_tap_opens_the_second_relu_where_the_first_was_open():
    """Why 2.152 is not the mean of an inverted residual of centre taps."""
    case = inverted_residual(3, 3, side=4)
    found = [singular_values.measure(case, DELTA, seed)["branch"] for seed in range(3)]
    expected = laws.law(case, DELTA, "branch")
    assert expected.mean == pytest.approx(1.73, abs=0.01)
    assert np.mean(found, 0) == pytest.approx(expected[:2], rel=0.1)


def test_every_op_of_every_space_has_a_law():
    everything = cases(channels=8, side=4)
    kinds = {case.op.kind for case, _ in everything}
    assert kinds == {*laws.BRANCHES}
    assert {name for _, names in everything for name in names.split()} == {*SPACES}
    for case, _ in everything:
        assert laws.law(case, UNIT_NORM, "op").mean >= 0


def passes(gamma):
    """Of two draws of two paths through the layers of a table."""
    layers = gamma.shape[-2]
    ones = np.ones((2, 2, layers))
    return Passes(np.zeros((2, 2, layers), int), ones, ones, ones, gamma)


def test_fairness_of_known_gradients(tiny):
    """Equal ops vary by nothing; a factor from layer to layer is the slope."""
    rms = np.array([[4.0], [2.0], [1.0]]) * np.array([1.0, 1.0, np.nan])
    table = np.broadcast_to(rms**2, (2, 2, 3, 3))
    found = fairness.fairness(passes(table), tiny)
    assert found.within == pytest.approx(0) and found.chance == pytest.approx(0)
    assert found.ratio == pytest.approx(4) and found.slope == pytest.approx(0.5)
    assert found.spread_across == pytest.approx(4)
    uneven = fairness.fairness(passes(table * np.array([9.0, 1.0, 1.0])), tiny)
    assert uneven.within == pytest.approx(0.5)  # 3 and 1
    assert uneven.blocks == pytest.approx(0.5)  # the identity has no gradient here
    assert uneven.spread_within == pytest.approx(3)


SMALL = ("--channels=8", "--side=3", "--seeds=2", "--image-size=8", "--batch-size=8")


def test_the_command(tiny, tmp_path, monkeypatch, capsys):
    space = dataclasses.replace(tiny, image_channels=3, layers=tiny.layers[:2])
    monkeypatch.setitem(SPACES, "tiny", lambda **_: space)
    monkeypatch.setattr(spectra, "cases", few_cases)
    flags = (*SMALL, "--draws=2", "--layer-indicators=parallel", "--updates=1")
    argv = ["singular_values", "tiny", f"--output={tmp_path}", *flags]
    assert command.main(argv) == 0
    assert "T18" in capsys.readouterr().out
    results = outputs.load(tmp_path)
    assert results["tiny"]["command"].startswith("python -m benchmarks.isometry")
    for row in results["singular_values"]["rows"]:
        assert row["mean_deviation"] == pytest.approx(0, abs=0.1), row
    for row in results["tiny"]["rows"]:
        rms = np.array(row["fairness"]["rms"], np.float64)
        assert (np.isfinite(rms) == space.allowed).all() and np.nanmin(rms) > 0
        assert row["depth"]["gradient"][-1] == 1
    names = {path.name for path in tmp_path.iterdir()}
    tables = {f"{name}.csv" for name in ("singular_values", "depth", "gamma_gradients")}
    assert names == {*tables, *(f"isometry.{end}" for end in ("json", "md", "png"))}


def few_cases(channels, side):
    """Those that are cheap to compile, and whose laws are exact."""
    kinds = "identity", "avg_pool"
    return [pair for pair in cases(channels, side) if pair[0].op.kind in kinds]


@pytest.mark.parametrize(
    "flag, complaint",
    [
        ("nowhere", "part: expected"),
        ("nas_bench_201", "part: expected"),
        ("--seeds=0", "--seeds: expected at least 1"),
        ("--channels=999", "--channels, --side: expected at most"),
        ("--layer-indicators=none", "--layer-indicators: expected"),
        ("--data=nowhere.npz", "data.path: expected"),
    ],
)
def test_bad_input_is_one_line(flag, complaint, tmp_path, capsys):
    assert command.main([flag, f"--output={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())
