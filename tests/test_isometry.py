"""The laws of every op, and the command that holds the claims against them."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from plain_networks import initial, plain_network

from benchmarks.isometry import command, fairness, outputs, spectra, stability
from benchmarks.isometry.spectra import INITIALISATIONS, cases
from difnas_jax.commands import isometry as isometry_command
from difnas_jax.config.files import load_config, override_by_flags
from difnas_jax.errors import InputError
from difnas_jax.isometry import composition, laws, singular_values, summary
from difnas_jax.isometry.cases import Case, Initialisation
from difnas_jax.isometry.depth import TRANSFER, Start, through_layer
from difnas_jax.isometry.passes import Passes
from difnas_jax.isometry.singular_values import flatten
from difnas_jax.models.initializers import DEPTHWISE_RULES, initialize, kernel_rules
from difnas_jax.models.orthogonal import BLOCK_ROLES, looks_linear
from difnas_jax.report import page
from difnas_jax.runtime import artifacts, files
from difnas_jax.spaces import SPACES, build
from difnas_jax.spaces.base import Op
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.mobilenet import digits

ROOT = Path(__file__).parents[1]
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


def test_laws_of_a_layer_in_a_chain():
    """P1 and P3: a skip adds 1; beside it a parallel identity adds its amplitude."""
    chains = [
        build(name, image_size=32, image_channels=3, num_classes=10) for name in SPACES
    ]
    kinds = {op.kind for c in chains if isinstance(c, ChainSpace) for op in c.ops}
    assert kinds == {*TRANSFER}
    op, relu = Op("op", "inverted_residual", 3, 6), Start("relu", aligned=False)
    growth = (math.pi / (math.pi - 1)) ** 2
    for normal, beside, variance, passing in (
        (False, False, 1, 0),
        (True, False, 5, 1),
        (True, True, 10, 9 / 4),
    ):
        transfer = TRANSFER["inverted_residual"](op, normal, relu, 4.0)
        found = through_layer(transfer, 4.0, beside)
        assert found == pytest.approx((variance, growth / 4 + passing), rel=1e-5)


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


# Looks-linear pairs -----------------------------------------------------------------

LOOKS_LINEAR = Initialisation("looks_linear", "qr")


@pytest.mark.parametrize(("expansion", "outputs"), [(2, 8), (3, 8), (6, 5), (6, 12)])
def test_aligned_pairs_are_linear_without_batch_norm(rng, expansion, outputs):
    """The block is x -> R x, of which all singular values are 1, for any x."""
    channels, width = 8, 8 * expansion
    shapes = (channels, width), (3, 3, 1, width), (width, outputs)
    rules = kernel_rules("looks_linear", DEPTHWISE_RULES["qr"])
    drawn = [
        rules[role](rng, shape) for role, shape in zip(BLOCK_ROLES, shapes, strict=True)
    ]
    expand, depthwise, project = looks_linear(*drawn)
    assert (expand.shape, depthwise.shape, project.shape) == shapes
    assert (depthwise[1, 1] == 1).all() and (depthwise != 0).sum() == width
    images = rng.standard_normal((50, channels))
    jacobians = [expand * (image @ expand > 0) @ project for image in images]
    for jacobian in jacobians:
        np.testing.assert_allclose(jacobian, jacobians[0], atol=1e-12)
    found = np.linalg.svd(jacobians[0], compute_uv=False)
    np.testing.assert_allclose(found, 1, atol=1e-12)
    rectified = np.maximum(images @ expand, 0) @ project
    np.testing.assert_allclose(rectified, images @ jacobians[0], atol=1e-12)


def test_a_looks_linear_block_is_an_isometry_until_batch_norm_shifts_it():
    """1 and 0 without batch norm, to 1e-6 in 32 bits; with it the law of pairs."""
    op = Op("op", "inverted_residual", 5, 3)
    case = Case(op, "relu", 24, 24, 1, side=4)
    plain = singular_values.measure(case, LOOKS_LINEAR, 0, batch_norm=False)["branch"]
    assert plain == pytest.approx((1, 0), abs=1e-6)
    found = [singular_values.measure(case, LOOKS_LINEAR, seed) for seed in range(4)]
    mean, spread = np.mean([parts["branch"] for parts in found], 0)
    expected = laws.law(case, LOOKS_LINEAR, "branch")
    assert (mean, spread) == pytest.approx(expected[:2], rel=0.1)
    orthogonal = laws.law(case, UNIT_NORM, "branch")
    assert 1 < expected.mean < orthogonal.mean and expected.spread < orthogonal.spread


def test_blocks_without_a_pair_stay_orthogonal(tiny):
    """An odd number of hidden channels, and whatever is no expanding block."""
    odd = np.ones((3, 9)), np.ones((3, 3, 1, 9)), np.ones((9, 3))
    assert all(new is old for new, old in zip(looks_linear(*odd), odd, strict=True))
    leaves = [
        flatten(initialize(plain_network(tiny), 0, kernels=kernels, depthwise="qr"))
        for kernels in ("orthogonal", "looks_linear")
    ]
    changed = {
        leaf[-2] for leaf in leaves[0] if (leaves[0][leaf] != leaves[1][leaf]).any()
    }
    assert changed == {*BLOCK_ROLES}
    for leaf, value in leaves[0].items():
        if leaf[1] in ("stem", "head", "fixed_0", "classifier"):
            assert (value == leaves[1][leaf]).all()


# Activations ------------------------------------------------------------------------


def test_an_activation_of_the_method_is_that_of_the_supernet(tiny, rng):
    """As if the space had it; what is cut from the space keeps its own."""
    images = rng.standard_normal((2, 8, 8, 1)).astype(np.float32)
    path = np.array([0, 1, 2])
    space = tiny.cut(path)
    own, other = plain_network(space), plain_network(space, activation="tanh")
    same = plain_network(dataclasses.replace(space, activation="tanh"))
    variables = initial(own)
    first, second, third = (
        np.asarray(net.apply(variables, images, path, False))
        for net in (own, other, same)
    )
    assert (second == third).all() and (first != second).any()


def test_cells_take_an_activation_too(rng):
    space = build("nas_bench_201", image_size=8, image_channels=3, num_classes=10)
    space = dataclasses.replace(space, cells=1, channels=(4, 8))
    space = space.cut((2,) * 6)  # nor_conv_1x1
    images = rng.standard_normal((2, 8, 8, 3)).astype(np.float32)
    networks = plain_network(space), plain_network(space, activation="tanh")
    variables = initial(networks[0])
    own, other = (
        np.asarray(net.apply(variables, images, np.zeros(6), False)) for net in networks
    )
    assert (own != other).any() and np.isfinite(other).all()


def test_law_of_tanh():
    """Nearer to isometry than a ReLU: 1.178^2 = 1.387 instead of 2.152, less spread."""
    op = Op("op", "inverted_residual", 3, 3)
    tanh = Case(op, "tanh", 24, 24, 1, side=BORDERLESS)
    relu = dataclasses.replace(tanh, activation="relu")
    found = laws.law(tanh, UNIT_NORM, "branch")
    assert found.mean == pytest.approx(1.387, rel=0.01)
    assert found.spread < laws.law(relu, UNIT_NORM, "branch").spread
    small = dataclasses.replace(tanh, side=4)
    measured = [singular_values.measure(small, DELTA, seed) for seed in range(3)]
    expected = laws.law(small, DELTA, "branch")
    mean = np.mean([parts["branch"] for parts in measured], 0)
    assert mean == pytest.approx(expected[:2], rel=0.15)


# The command of the package ---------------------------------------------------------

SMALL_RUN = ("--config=benchmarks/kills/small_run.py", "--config.compilation_cache=")
PARALLEL = tuple(
    f"--config.method.{field}"
    for field in (
        "layer_indicator=parallel",
        "indicator=gamma",
        "score=ratio",
        "memory=nothing",
        "depthwise=qr",
    )
)


@pytest.fixture
def few_blocks(monkeypatch):
    """Two of the blocks, at a shape that is small and cheap to compile."""
    every = summary.blocks
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(summary, "blocks", lambda space: every(space)[:2])
    monkeypatch.setattr(summary, "CHANNELS", 4)
    monkeypatch.setattr(summary, "SIDE", 3)


def test_the_command_of_the_package(few_blocks, tmp_path, capsys):
    """Tables, a file, and a section of the report of the same config alone."""
    flags = [*SMALL_RUN, *PARALLEL, f"--workdir={tmp_path}"]
    assert isometry_command.main(flags) == 0
    printed = capsys.readouterr().out
    for text in ("block 2/2", "growth of its square", "fixed points", "chi 1.467"):
        assert text in printed
    values = files.read_json(tmp_path / artifacts.ISOMETRY)
    columns = values["depth"]
    # 1 behind a reduction; (sqrt(q) + 1)^2 + 1 behind skip, identity and block.
    assert columns["variance"] == pytest.approx([1, 5], rel=0.1)
    assert columns["variance_law"] == pytest.approx([1, 5], rel=1e-3)
    assert columns["growth"][1] == pytest.approx(columns["growth_law"][1], rel=0.3)

    config = load_config(SMALL_RUN[0].partition("=")[2])
    override_by_flags(config, [*PARALLEL, "--config.stages=report"])
    page.run(config, tmp_path)
    assert (tmp_path / "figures" / "isometry-4.svg").stat().st_size > 10_000
    assert "difnas-jax isometry" not in (tmp_path / "report.html").read_text()
    config.seed = 1
    page.run(config, tmp_path)
    assert "difnas-jax isometry" in (tmp_path / "report.html").read_text()
    (tmp_path / artifacts.ISOMETRY).write_text("{")
    with pytest.raises(InputError, match="isometry.json"):
        page.run(config, tmp_path)


def test_the_start_of_blocks_is_that_of_the_config(few_blocks):
    """A block adds a quarter of a variance to its skip and the parallel identity."""
    config = load_config(SMALL_RUN[0].partition("=")[2])
    override_by_flags(config, ["--config.method.block_scale=0.5"])
    fixed, *_ = summary.block_rows(config, "relu6", lambda line: None)
    assert fixed["op"] == "k3e1" and fixed["stride"] == 1
    assert fixed["mean_law"] > 2  # no candidate, so drawn at scale 1
    found = summary.depth_and_roles(config, "relu6")["depth"]
    assert found["variance_law"] == pytest.approx([1, 4.25], rel=1e-3)
    assert found["variance"] == pytest.approx([1, 4.25], rel=0.1)
    assert found["growth"][1] == pytest.approx(found["growth_law"][1], rel=0.3)


@pytest.mark.parametrize("scale", [0.0, 0.5])
def test_a_scaled_block_beside_its_skip(scale):
    case = inverted_residual(3, 3, side=4)
    whole = laws.law(case, UNIT_NORM, "branch")
    rule = UNIT_NORM._replace(block_scale=scale)
    expected = laws.law(case, rule, "branch")
    assert expected.mean == pytest.approx(scale**2 * whole.mean)
    found = singular_values.measure(case, rule, 0)
    full = singular_values.measure(case, UNIT_NORM, 0)
    assert found["branch"][0] == pytest.approx(scale**2 * full["branch"][0])
    if not scale:
        assert found["op"] == laws.law(case, rule, "op")[:2] == (1, 0)
    reducing = dataclasses.replace(case, stride=2)
    assert laws.law(reducing, rule, "op") == laws.law(reducing, UNIT_NORM, "op")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (SMALL_RUN[1:], "--config"),
        ((*SMALL_RUN, "--workdir="), "--workdir: expected a file or folder"),
        (
            (*SMALL_RUN, "--config.method.activation=gelu"),
            "method.activation: expected",
        ),
        ((*SMALL_RUN, "--config.method.kernels=tanh"), "method.kernels: expected"),
    ],
)
def test_bad_input_of_the_command(few_blocks, flags, complaint, capsys):
    assert isometry_command.main(flags) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1


def test_a_chain_of_more_layers(tiny):
    space = digits(image_size=16, image_channels=1, num_classes=10)
    for extra in (0, 3):
        found = stability.deeper(space, extra)
        assert found.num_layers == space.num_layers + 2 * extra
        assert {layer.ops for layer in found.layers} == {
            layer.ops for layer in space.layers
        }
    assert stability.deeper(space, 0) == space


def test_summary_of_trainings():
    """Equal trainings have no spread; a factor on one is a spread of its logarithm."""
    flat = np.ones((2, 30))
    curves = {"loss": flat, "accuracy": flat, "gradient_norm": flat}
    found = stability.summary(curves)
    assert found["loss_spread"] == found["norm_sd"] == found["norm_jumps"] == 0
    curves["gradient_norm"] = flat * np.array([[1.0], [math.e**2]])
    found = stability.summary(curves)
    assert found["norm_sd"] == pytest.approx(2**0.5) and found["norm_jumps"] == 0
    assert found["norm"] == pytest.approx(math.e)


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
    assert names == {*tables, "isometry.json", outputs.PAGE, "isometry.png"}


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
