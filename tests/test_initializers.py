"""The kernel rules, and the laws of isometry that follow from them.

T numbers refer to the table of laws in ARCHITECTURE.md. "White" input is Gaussian and
independent; the block Jacobian is taken with the batch statistics held fixed.
"""

from collections.abc import Callable
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import initial, plain_network

from difnas_jax import spaces
from difnas_jax.isometry.cases import DEPTHWISE
from difnas_jax.models.blocks import InvertedResidual
from difnas_jax.models.initializers import (
    DEPTHWISE_RULES,
    KERNEL_RULES,
    kernel_rules,
    variable_shapes,
)
from difnas_jax.models.orthogonal import RELU_GAIN
from difnas_jax.ops.layout import CHANNELS_LAST
from difnas_jax.ops.normalization import EPSILON
from difnas_jax.spaces.base import Op

flatten: Callable[..., dict[tuple[str, ...], Any]] = flax.traverse_util.flatten_dict


@pytest.fixture(scope="module")
def mbv2_kernels():
    space = spaces.build("mbv2", image_size=32, image_channels=3, num_classes=10)
    return flatten(initial(plain_network(space))["params"])


def rows(kernel):
    """[output units, fan_in]."""
    return kernel.reshape(-1, kernel.shape[-1]).T.astype(np.float64)


def test_every_dense_kernel_is_semi_orthogonal(mbv2_kernels):
    """T3, over all kernels of the real space."""
    gains = {"project": 1.0, "classifier": 1.0}
    checked = 0
    for leaf, kernel in mbv2_kernels.items():
        if leaf[-1] != "kernel" or leaf[-2] == "depthwise":
            continue
        gain, weights = gains.get(leaf[-2], RELU_GAIN), rows(kernel)
        out, fan_in = weights.shape
        norms = np.linalg.norm(weights, axis=1)
        np.testing.assert_allclose(norms, gain, rtol=1e-5, err_msg=str(leaf))
        if out <= fan_in:
            gram, expected = weights @ weights.T, gain**2 * np.eye(out)
        elif out % fan_in == 0:
            gram, expected = (
                weights.T @ weights,
                out / fan_in * gain**2 * np.eye(fan_in),
            )
        else:
            continue  # the stem: 40 units of 27 inputs, rows of equal norm only
        np.testing.assert_allclose(gram, expected, atol=1e-5, err_msg=str(leaf))
        checked += 1
    assert (
        checked == 2 * 6 * 21 + 3
    )  # expand and project, fixed block, head, classifier


@pytest.mark.parametrize("rule", DEPTHWISE)
@pytest.mark.parametrize("side", [3, 5, 7])
def test_depthwise_filters_have_equal_norm(rng, rule, side):
    kernel = DEPTHWISE[rule](rng, (side, side, 1, 20))
    assert kernel.shape == (side, side, 1, 20)
    norms = np.linalg.norm(kernel, axis=(0, 1))
    np.testing.assert_allclose(norms, RELU_GAIN, rtol=1e-6)


def test_depthwise_qr_is_orthogonal_filter_by_filter(rng):
    kernel = DEPTHWISE_RULES["qr"](rng, (5, 5, 1, 8))
    for channel in range(8):
        matrix = kernel[:, :, 0, channel] * np.sqrt(5) / RELU_GAIN
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(5), atol=1e-6)


def test_shift_has_one_tap_and_delta_the_centre_one(rng):
    shift = DEPTHWISE["shift"](rng, (5, 5, 1, 200))
    assert ((shift != 0).sum((0, 1)) == 1).all()
    assert len(np.unique(shift.reshape(25, -1).argmax(0))) == 25
    delta = DEPTHWISE["delta"](rng, (5, 5, 1, 7))
    assert (delta[2, 2] == RELU_GAIN).all() and (delta != 0).sum() == 7


def test_haar_matrices_have_no_preferred_sign(rng):
    """Without the sign of diag(R), QR leaves a bias on the diagonal."""
    kernel = KERNEL_RULES["orthogonal"]["project"]
    corner = np.array([kernel(rng, (4, 4))[0, 0] for _ in range(600)])
    assert abs(corner.mean()) < 4 * 0.5 / np.sqrt(600)
    assert corner.std() == pytest.approx(0.5, rel=0.1)


def test_he_fan_out_has_the_variance_of_the_reference(rng):
    rules = KERNEL_RULES["he_fan_out"]
    for role, shape, fan_out in (
        ("stem", (3, 3, 3, 400), 9 * 400),
        ("expand", (100, 300), 300),
        ("depthwise", (5, 5, 1, 500), 25 * 500),
    ):
        assert rules[role](rng, shape).std() == pytest.approx(
            (2 / fan_out) ** 0.5, rel=0.03
        )
    bound = 1 / np.sqrt(400)
    classifier = rules["classifier"](rng, (400, 100))
    assert np.abs(classifier).max() <= bound and classifier.std() == pytest.approx(
        bound / 3**0.5, rel=0.03
    )


def test_every_rule_fills_every_role():
    """The roles are the modules with kernels in the networks of all ops."""
    roles = set()
    for name in ("dense", "digits", "nas_bench_201", "nas_bench_macro", "shufflenetv2"):
        space = spaces.build(name, image_size=16, image_channels=3, num_classes=10)
        found = plain_network(space)
        leaves = flatten(variable_shapes(found)["params"])
        roles |= {leaf[-2] for leaf in leaves if leaf[-1] == "kernel"}
    for kernels in KERNEL_RULES:
        assert {*kernel_rules(kernels, DEPTHWISE["qr"])} == roles


def test_values_follow_from_seed_and_name(tiny):
    full = flatten(initial(plain_network(tiny), 3))
    again = flatten(initial(plain_network(tiny), 3))
    other = flatten(initial(plain_network(tiny), 4))
    cut = flatten(initial(plain_network(tiny.cut((0, 1, 2))), 3))
    kernels = [leaf for leaf in full if leaf[-1] == "kernel"]
    for leaf in kernels:
        assert full[leaf].tobytes() == again[leaf].tobytes()
        assert full[leaf].tobytes() != other[leaf].tobytes()
    shared = [leaf for leaf in cut if leaf[-1] == "kernel"]
    assert shared and all(np.array_equal(cut[leaf], full[leaf]) for leaf in shared)
    assert len({full[leaf].tobytes() for leaf in kernels}) == len(kernels)


def test_batch_norms_start_alike(tiny):
    values = flatten(initial(plain_network(tiny)))
    for leaf, value in values.items():
        if leaf[-1] in ("scale", "var"):
            assert (value == 1).all()
        elif leaf[-1] in ("bias", "mean"):
            assert (value == 0).all()


# Laws of the block ------------------------------------------------------------------


def block_jacobian(op, *, kernels, depthwise, batch_norm, seed, channels, side=4):
    """Singular values squared of one block, batch statistics held fixed.

    Returns the eigenvalues of J^T J, J being the Jacobian of one image in the middle of
    a batch of white images. No skip: the block ends in one channel less for `project`.
    """
    block = InvertedResidual(op, channels - 1, 1, CHANNELS_LAST, jax.nn.relu6)
    rng = np.random.default_rng(seed)
    images = jnp.asarray(rng.standard_normal((64, side, side, channels)), jnp.float32)
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), images, False))
    rules = kernel_rules(kernels, DEPTHWISE[depthwise])
    flat = {
        leaf: jnp.asarray(
            rules[leaf[-2]](rng, value.shape)
            if leaf[-1] == "kernel"
            else np.full(value.shape, leaf[-1] in ("scale", "var")),
            jnp.float32,
        )
        for leaf, value in flatten(shapes).items()
    }
    variables = flax.traverse_util.unflatten_dict(flat)
    if batch_norm:
        _, changed = block.apply(variables, images, True, mutable=["batch_stats"])
        # One update leaves 0.1 of the batch in the running average.
        stats = flatten(changed["batch_stats"])
        stats = {
            leaf: (value - (0.9 if leaf[-1] == "var" else 0.0)) * 10
            for leaf, value in stats.items()
        }
        variables["batch_stats"] = flax.traverse_util.unflatten_dict(stats)
    else:
        variables["batch_stats"] = jax.tree.map(
            lambda leaf: leaf * (1 - EPSILON), variables["batch_stats"]
        )

    def flat_block(image):
        output: Any = block.apply(
            variables, image.reshape(1, side, side, channels), False
        )
        return output.ravel()

    jacobian = np.asarray(
        jax.jit(jax.jacrev(flat_block))(images[0].ravel()), np.float64
    )
    return np.linalg.svd(jacobian, compute_uv=False) ** 2, jacobian.shape[1]


def moments(op, seeds=range(3), channels=32, **options):
    """Mean of s^2 per input, and its normalised variance, over seeds."""
    values = []
    for seed in seeds:
        squares, inputs = block_jacobian(op, seed=seed, channels=channels, **options)
        mean = squares.sum() / inputs
        values.append((mean, (squares**2).sum() / inputs / mean**2 - 1))
    return np.mean(values, axis=0)


@pytest.mark.parametrize("expansion", [3, 6])
def test_t4_mean_squared_singular_value(expansion):
    """1 without batch norm; (pi / (pi - 1))^2 = 2.152 with it, not 1.

    At 4 x 4 pixels, a 3 x 3 filter sees 10 of 12 taps inside the image per axis; batch
    norm makes up for the zeros outside, without it they are lost.
    """
    op = Op("op", "inverted_residual", 3, expansion)
    options: dict[str, Any] = {"kernels": "orthogonal", "depthwise": "unit_norm"}
    inside = (10 / 12) ** 2
    assert moments(op, batch_norm=False, **options)[0] == pytest.approx(inside, rel=0.1)
    assert moments(op, batch_norm=True, **options)[0] == pytest.approx(2.152, rel=0.2)


@pytest.mark.parametrize("expansion", [3, 6])
def test_t5_orthogonal_kernels_spread_less_than_gaussian(expansion):
    """Normalised variance near 1 + 2/t against 1 + 4/t."""
    op = Op("op", "inverted_residual", 3, expansion)
    options = {"depthwise": "delta", "batch_norm": True}
    orthogonal = moments(op, kernels="orthogonal", **options)[1]
    gaussian = moments_gaussian(op)
    assert orthogonal < gaussian
    assert orthogonal == pytest.approx(1 + 2 / expansion, rel=0.2)
    assert gaussian == pytest.approx(1 + 4 / expansion, rel=0.2)


def moments_gaussian(op):
    """He kernels, but the delta depthwise of the law."""
    rules = KERNEL_RULES["he_fan_out"]
    without_depthwise = {
        role: rule for role, rule in rules.items() if role != "depthwise"
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KERNEL_RULES, "gaussian", without_depthwise)
        return moments(op, kernels="gaussian", depthwise="delta", batch_norm=True)[1]


def test_t7_a_skip_adds_one():
    """E[s^2] of x + f(x) is 1 + E[s^2] of f."""
    op, channels, side = Op("op", "inverted_residual", 3, 6), 32, 4
    space_rng = np.random.default_rng(0)
    images = jnp.asarray(
        space_rng.standard_normal((64, side, side, channels)), jnp.float32
    )
    block = InvertedResidual(op, channels, 1, CHANNELS_LAST, jax.nn.relu6)
    variables = block.init(jax.random.key(0), images, False)
    flat = flatten(variables)
    rules = kernel_rules("orthogonal", DEPTHWISE_RULES["qr"])
    flat = {
        leaf: jnp.asarray(rules[leaf[-2]](space_rng, value.shape), jnp.float32)
        if leaf[-1] == "kernel"
        else value
        for leaf, value in flat.items()
    }
    variables = flax.traverse_util.unflatten_dict(flat)

    def squares(function):
        jacobian = jax.jit(jax.jacrev(lambda image: function(image[None]).ravel()))(
            images[0]
        )
        return float((np.asarray(jacobian, np.float64) ** 2).sum() / images[0].size)

    whole = squares(lambda image: block.apply(variables, image, False))
    residual = squares(lambda image: block.apply(variables, image, False) - image)
    assert residual > 0.5
    assert whole == pytest.approx(1 + residual, rel=0.07)


def test_t11_delta_is_blind_to_the_kernel_size(rng, monkeypatch):
    """Why no method has `delta`: all kernel sizes are one function."""
    monkeypatch.setitem(DEPTHWISE_RULES, "delta", DEPTHWISE["delta"])
    space = spaces.build("digits", image_size=16, image_channels=1, num_classes=10)
    model = plain_network(space.without_identity())
    images = jnp.asarray(rng.standard_normal((4, 16, 16, 1)), jnp.float32)

    @jax.jit
    def run(variables, path):
        return model.apply(variables, images, path, False)

    def logits(depthwise):
        variables = initial(model, depthwise=depthwise)
        params = flatten(variables["params"])
        for leaf in params:  # the same pointwise kernels for every kernel size
            if leaf[0].startswith("layer_") and leaf[-2] != "depthwise":
                twin = (leaf[0], "k3" + leaf[1][2:], *leaf[2:])
                params[leaf] = params[twin]
        variables |= {"params": flax.traverse_util.unflatten_dict(params)}
        paths = [jnp.full(space.num_layers, op) for op in (0, 2, 4)]  # k3, k5, k7
        return [run(variables, path) for path in paths]

    first, *others = logits("delta")
    for same in others:
        np.testing.assert_allclose(same, first, rtol=1e-5, atol=1e-6)
    one, other, _ = logits("qr")
    assert np.abs(one - other).max() > 1e-3


def test_shapes_alone_cost_nothing(tiny):
    leaves = jax.tree.leaves(variable_shapes(plain_network(tiny)))
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
