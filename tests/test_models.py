"""Blocks, batch norm, depthwise convolution, supernet: shapes, names, equivalences."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import initial, plain_network, plain_supernet
from search_problems import supernet_params

from difnas_jax import spaces
from difnas_jax.models import codes
from difnas_jax.models.blocks import (
    BLOCKS,
    INDICATOR_BATCH_NORMS,
    average_pool,
    split_channels,
)
from difnas_jax.models.branches import SumOfBlocks
from difnas_jax.models.cells import halve
from difnas_jax.models.initializers import KERNEL_RULES, kernel_rules, variable_shapes
from difnas_jax.models.layers import layer_name
from difnas_jax.models.modules import BatchNorm
from difnas_jax.models.orthogonal import depthwise_qr
from difnas_jax.ops.convolutions import (
    dense_conv,
    depthwise_conv,
    native_conv,
    pointwise_conv,
)
from difnas_jax.ops.layout import BATCH_LAST, CHANNELS_LAST
from difnas_jax.ops.normalization import CEILINGS, EPSILON, normalize_batch
from difnas_jax.spaces.base import Op
from difnas_jax.spaces.costs import cost_table
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS
from difnas_jax.training.fates import TRAINABLE, fates_of, split

flatten: Callable[..., dict[tuple[str, ...], Any]] = flax.traverse_util.flatten_dict


def count(tree):
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def forward(model, variables, images, path, train):
    """Logits, compiled as a whole."""
    return jax.jit(lambda values, path: model.apply(values, images, path, train))(
        variables, jnp.asarray(path)
    )


def images_of(space, rng, batch=4):
    shape = (batch, space.image_size, space.image_size, space.image_channels)
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


LAYOUTS = pytest.mark.parametrize(
    "layout", [CHANNELS_LAST, BATCH_LAST], ids=lambda layout: layout.dims
)
SIZES = pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [
        (5, 3, 1),
        (5, 3, 2),
        (4, 3, 2),
        (5, 5, 1),
        (4, 5, 2),
        (1, 7, 1),
        (6, 7, 2),
        # In several blocks of rows.
        (9, 3, 1),
        (16, 5, 1),
        (19, 7, 2),
        (35, 3, 2),
    ],
)


def value_and_gradients(conv, *inputs, stride, layout):
    """Of a scalar that depends on every output, compiled."""
    loss = lambda *inputs: jnp.sin(conv(*inputs, stride, layout)).sum()  # noqa: E731
    return jax.jit(jax.value_and_grad(loss, (0, 1)))(*inputs)


@LAYOUTS
@SIZES
def test_depthwise_equals_the_native_convolution(rng, size, kernel, stride, layout):
    check_against_native(rng, depthwise_conv, size, kernel, stride, layout, inputs=1)


@LAYOUTS
@pytest.mark.parametrize(("size", "stride"), [(5, 1), (4, 2)])
def test_dense_equals_the_native_convolution(rng, size, stride, layout):
    check_against_native(rng, dense_conv, size, 3, stride, layout, inputs=6)


@LAYOUTS
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 8), (8, 3)])
def test_pointwise_equals_the_native_convolution(rng, inputs, outputs, layout):
    """Its kernel has its gradient whichever of the two has more channels."""
    images = jnp.asarray(rng.standard_normal((2, 5, 5, inputs)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((inputs, outputs)), jnp.float32)
    operands = layout.arrange(images), kernel

    def native(images, kernel, stride, layout):
        return native_conv(images, kernel[None, None], stride, layout)

    def pointwise(images, kernel, stride, layout):
        return pointwise_conv(images, kernel, layout)

    options = {"stride": 1, "layout": layout}
    expected = jax.tree.leaves(value_and_gradients(native, *operands, **options))
    ours = jax.tree.leaves(value_and_gradients(pointwise, *operands, **options))
    for left, right in zip(ours, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)


def check_against_native(rng, conv, size, kernel, stride, layout, inputs):
    images = jnp.asarray(rng.standard_normal((2, size, size, 6)), jnp.float32)
    shape = (kernel, kernel, inputs, 6)
    operands = (
        layout.arrange(images),
        jnp.asarray(rng.standard_normal(shape), jnp.float32) / kernel,
    )
    options = {"stride": stride, "layout": layout}
    expected = jax.tree.leaves(value_and_gradients(native_conv, *operands, **options))
    ours = jax.tree.leaves(value_and_gradients(conv, *operands, **options))
    for left, right in zip(ours, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5)


@LAYOUTS
@pytest.mark.parametrize("side", [4, 6])  # smaller than the kernel, and not
def test_depthwise_under_transformations(rng, layout, side):
    """In bfloat16, in a scan and on devices of their own: the same numbers."""
    shape = 4, side, side, 3
    images = layout.arrange(jnp.asarray(rng.standard_normal(shape), jnp.float32))
    filters = jnp.asarray(rng.standard_normal((5, 5, 1, 3)), jnp.float32) / 5
    plain = native_conv(images, filters, 2, layout)

    def conv(images):
        return depthwise_conv(images, filters.astype(images.dtype), 2, layout)

    small = jax.jit(conv)(images.astype(jnp.bfloat16))
    assert small.dtype == jnp.bfloat16
    np.testing.assert_allclose(small.astype(jnp.float32), plain, rtol=0.05, atol=0.05)
    scanned: Any
    _, scanned = jax.lax.scan(lambda _, x: (None, conv(x)), None, images[None])
    np.testing.assert_allclose(scanned[0], plain, rtol=1e-5, atol=1e-5)
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
    spec = jax.sharding.PartitionSpec(
        *("data" if letter == "B" else None for letter in layout.dims)
    )
    mapped = jax.jit(jax.shard_map(conv, mesh=mesh, in_specs=spec, out_specs=spec))(
        images
    )
    np.testing.assert_allclose(mapped, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("moving", [(0,), (1,)])
def test_depthwise_keeps_only_what_the_gradient_needs(moving):
    """A frozen kernel needs no images in the backward pass, fixed images no kernel."""
    images, filters = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 1, 4))
    operands = [images, filters]

    def conv(moved):
        inputs = [moved if place in moving else o for place, o in enumerate(operands)]
        return depthwise_conv(inputs[0], inputs[1], 1, CHANNELS_LAST)

    _, backward = jax.vjp(conv, operands[moving[0]])
    (other,) = {0, 1} - set(moving)
    shapes = [leaf.shape for leaf in jax.tree.leaves(backward)]
    assert shapes == [operands[other].shape]


def test_convolutions_take_the_form_of_the_platform():
    """Lowered for the CPU there is no convolution, for GPU and TPU there is one."""
    images = jnp.ones((2, 8, 8, 4))
    for conv, filters in (
        (depthwise_conv, jnp.ones((3, 3, 1, 4))),
        (dense_conv, jnp.ones((3, 3, 4, 4))),
    ):
        traced = jax.jit(conv, static_argnums=(2, 3)).trace(
            images, filters, 2, CHANNELS_LAST
        )
        for platform, expected in (("cpu", False), ("cuda", True), ("tpu", True)):
            text = traced.lower(lowering_platforms=(platform,)).as_text()
            assert ("stablehlo.convolution" in text) == expected, platform


def test_batch_norm_equals_flax(rng):
    inputs = jnp.asarray(3 + 2 * rng.standard_normal((4, 3, 3, 5)), jnp.float32)
    affine = {
        "scale": jnp.asarray(rng.uniform(0.5, 2, 5), jnp.float32),
        "bias": jnp.asarray(rng.standard_normal(5), jnp.float32),
    }
    stats = {"mean": jnp.zeros(5), "var": jnp.ones(5)}
    variables = {"params": affine, "batch_stats": stats}

    def run(module, train):
        def loss(params, inputs):
            outputs, changed = module(train).apply(
                {**variables, "params": params}, inputs, mutable=["batch_stats"]
            )
            return jnp.sin(outputs).sum(), (outputs, changed)

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(affine, inputs)

    class Ours(nn.Module):
        train: bool

        @nn.compact
        def __call__(self, inputs):
            return BatchNorm(CHANNELS_LAST, name="bn")(inputs, self.train)

    def ours(train):
        def apply(values, inputs, mutable):
            nested = {kind: {"bn": value} for kind, value in values.items()}
            outputs, changed = Ours(train).apply(nested, inputs, mutable=mutable)
            return outputs, {kind: value["bn"] for kind, value in changed.items()}

        return type("Wrapped", (), {"apply": staticmethod(apply)})

    def flax(train):
        return nn.BatchNorm(
            use_running_average=not train, momentum=0.9, epsilon=EPSILON
        )

    for train in (True, False):
        left, right = run(ours, train), run(flax, train)
        assert jax.tree.structure(left) == jax.tree.structure(right)
        for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_batch_norm_normalises(rng):
    inputs = jnp.asarray(5 + 3 * rng.standard_normal((8, 4, 4, 3)), jnp.float32)
    normalized: Any = normalize_batch(
        inputs, jnp.ones(3), jnp.zeros(3), CHANNELS_LAST, None
    )
    outputs, mean, var = normalized
    np.testing.assert_allclose(outputs.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.var((0, 1, 2)), 1, rtol=1e-4)
    np.testing.assert_allclose(mean, inputs.mean((0, 1, 2)), rtol=1e-5)


def test_no_running_statistics_unless_asked(tiny, rng):
    variables = initial(plain_network(tiny))
    del variables["batch_stats"]
    logits = forward(
        plain_network(tiny), variables, images_of(tiny, rng), [0, 1, 2], True
    )
    assert logits.shape == (4, 10)
    assert np.isfinite(logits).all()


def randomised(variables, rng):
    """Give every leaf that starts constant a value of its own."""
    flat = flatten(variables)
    for path, leaf in flat.items():
        if path[-1] in ("scale", "var"):
            flat[path] = rng.uniform(0.5, 2.0, leaf.shape).astype(np.float32)
        elif path[-1] in ("bias", "mean"):
            flat[path] = 0.1 * rng.standard_normal(leaf.shape).astype(np.float32)
        if "bn_identity" in path:  # makes the indicator of a dropped layer transparent
            flat[path] = np.full_like(
                leaf, {"var": 1 - EPSILON, "scale": 1.0}.get(path[-1], 0.0)
            )
    return flax.traverse_util.unflatten_dict(flat)


def subtree(variables, shapes):
    """The leaves of `variables` under the names that `shapes` has."""
    flat = flatten(variables)
    names = flatten(shapes)
    return flax.traverse_util.unflatten_dict({name: flat[name] for name in names})


def test_supernet_on_a_path_equals_the_cut_network(tiny, rng):
    images = images_of(tiny, rng)
    supernet = plain_network(tiny)
    variables = randomised(initial(supernet), rng)
    run = jax.jit(lambda path: supernet.apply(variables, images, path, False))
    outputs = {}
    everything = list(itertools.product(*(layer.ops for layer in tiny.layers)))
    for architecture in everything[::2]:
        network = plain_network(tiny.cut(architecture))
        own = subtree(variables, variable_shapes(network))
        expected = forward(network, own, images, architecture, False)
        outputs[architecture] = run(jnp.array(architecture))
        np.testing.assert_allclose(
            outputs[architecture], expected, rtol=1e-4, atol=1e-5
        )
    assert len({array.tobytes() for array in map(np.asarray, outputs.values())}) == 9


def test_training_mode_also_equals_the_cut_network(tiny, rng):
    images, architecture = images_of(tiny, rng), (1, 0, 1)
    variables = randomised(initial(plain_network(tiny)), rng)
    network = plain_network(tiny.cut(architecture))
    own = subtree(variables, variable_shapes(network))
    np.testing.assert_allclose(
        forward(plain_network(tiny), variables, images, architecture, True),
        forward(network, own, images, architecture, True),
        rtol=1e-4,
        atol=1e-5,
    )


def test_codes_along_a_path_are_those_of_the_cut_network(tiny, rng):
    """Also where an op records none, as identity does."""
    supernet, images = plain_network(tiny), images_of(tiny, rng)
    variables = randomised(initial(supernet), rng)

    def recorded(model, variables, path):
        options = {"train": True, "mutable": ["code_similarity"]}
        found = model.apply(variables, images, jnp.array(path), **options)[1]
        return codes.total(found["code_similarity"])

    for architecture in ((0, 1, 2), (1, 2, 2)):
        network = plain_network(tiny.cut(architecture))
        own = subtree(variables, initial(network))
        expected = recorded(network, own, (0, 0, 0))
        found = recorded(supernet, variables, architecture)
        np.testing.assert_array_equal(found.diagonal(), expected.diagonal())
        # Rounding moves a few units across 0.
        np.testing.assert_allclose(found, expected, rtol=0.01)


def test_running_statistics_move_only_on_the_path(tiny, rng):
    variables = initial(plain_network(tiny))
    path = jnp.array([1, 0, 2])
    images = images_of(tiny, rng)
    _, changed = jax.jit(
        lambda values: plain_network(tiny).apply(
            values, images, path, True, mutable=["batch_stats"]
        )
    )(variables)
    before = flatten(variables["batch_stats"])
    after = flatten(changed["batch_stats"])
    names = [op.name for op in tiny.ops]
    for leaf, value in after.items():
        number = int(leaf[0][-2:]) if leaf[0].startswith("layer_") else None
        on_path = number is None or leaf[1] == names[int(path[number])]
        assert np.array_equal(value, before[leaf]) != on_path, leaf


def test_subset_of_ops_maps_to_the_right_branch(tiny, rng):
    """A layer that allows only ops 1 and 2 runs op 1 for index 1."""
    layers = (*tiny.layers[:2], dataclasses.replace(tiny.layers[2], ops=(1, 2)))
    space = dataclasses.replace(tiny, layers=layers)
    images = images_of(tiny, rng)
    variables = randomised(initial(plain_network(tiny)), rng)
    own = subtree(variables, variable_shapes(plain_network(space)))
    for op in (1, 2):
        np.testing.assert_allclose(
            forward(plain_network(space), own, images, [0, 0, op], False),
            forward(plain_network(tiny), variables, images, [0, 0, op], False),
            rtol=1e-5,
        )


def test_batch_norms_are_named_by_role(tiny):
    leaves = flatten(variable_shapes(plain_network(tiny))["params"])
    norms = [leaf for leaf in leaves if leaf[-2].startswith("bn_")]
    candidates = {leaf[1:3] for leaf in norms if leaf[0] == "layer_01"}
    roles = {"bn_expand", "bn_depthwise", "bn_project"}
    expected = {(op, role) for op in ("k3e3", "k5e6") for role in roles}
    assert candidates == expected | {("identity", "bn_identity")}


@pytest.mark.parametrize("name", spaces.SPACES)
def test_parameter_counts_equal_the_cost_table(name):
    space = spaces.build(name, image_size=32, image_channels=3, num_classes=10)
    plain = LAYER_INDICATORS["plain"](space)
    trained = variable_shapes(plain_supernet(plain))
    assert count(trained["params"]) == supernet_params(space)
    table = cost_table(space)
    for pick in (0, -1):
        architecture = tuple(layer.ops[pick] for layer in space.layers)
        network = plain_network(space.cut(architecture))
        params = table.of(np.array(architecture))["params"]
        assert count(variable_shapes(network)["params"]) == params


def test_kernels_switch_collections(tiny, rng):
    """A leaf may lie in `params` or in `frozen`; both together are one tree."""
    model, images = plain_network(tiny), images_of(tiny, rng)
    variables = randomised(initial(model), rng)
    expected = forward(model, variables, images, [0, 1, 2], True)
    merged = flatten(variable_shapes(model)["params"])
    for trainable in TRAINABLE:
        parts = split(variables, fates_of(variables["params"], trainable, False))
        params, frozen = parts["params"], parts["frozen"]
        assert {*flatten(params), *flatten(frozen)} == {*merged}
        assert bool(frozen) == (trainable not in ("kernels", "all"))
        if trainable in ("indicator", "all_bn"):
            assert all(
                leaf[-2].startswith("bn_") or leaf[0] == "classifier"
                for leaf in flatten(params)
            )
        np.testing.assert_allclose(
            forward(model, parts, images, [0, 1, 2], True), expected, rtol=1e-6
        )


def test_layer_indicator_wirings(tiny, rng):
    images, logits = images_of(tiny, rng), {}
    for name, wire in LAYER_INDICATORS.items():
        wiring = wire(tiny)
        model = plain_supernet(wiring)
        variables = initial(model)
        identities = {
            leaf[0] for leaf in flatten(variables["params"]) if leaf[1] == "identity"
        }
        expected = set() if name in ("off", "plain") else {"layer_01", "layer_02"}
        assert identities == expected, name
        logits[name] = forward(model, variables, images, [0, 0, 1], True)
    for name in ("candidate", "plain"):
        np.testing.assert_allclose(logits[name], logits["off"], rtol=1e-5)
    assert np.abs(logits["parallel"] - logits["off"]).max() > 1e-3


@pytest.mark.parametrize("name", spaces.SPACES)
def test_initial_signal_is_finite_and_alive(name, rng):
    """The cut network of a random path of every space gives different images
    different finite logits."""
    space = spaces.build(name, image_size=32, image_channels=3, num_classes=10)
    architecture = [int(rng.choice(layer.ops)) for layer in space.layers]
    model = plain_network(space.cut(architecture))
    images = images_of(space, rng)
    logits = forward(model, initial(model), images, architecture, True)
    assert np.isfinite(logits).all()
    assert np.std(np.asarray(logits), axis=0).min() > 1e-3


def test_equal_blocks_are_traced_once(tiny, rng, monkeypatch):
    """Layers 1 and 2 are equal: five blocks for the eight candidates."""
    traced = []
    run = SumOfBlocks.__call__

    def counted(self, variables, inputs):
        traced.append(self)
        return run(self, variables, inputs)

    jax.clear_caches()
    monkeypatch.setattr(SumOfBlocks, "__call__", counted)
    model = plain_network(tiny)
    variables = initial(model)
    forward(model, variables, images_of(tiny, rng), [0, 0, 1], True)
    assert len(traced) == len(set(traced)) == 5


def test_the_split_is_interleaved():
    """Even channels stay, odd ones pass the main branch, in both layouts."""
    images = jnp.broadcast_to(jnp.arange(6.0), (2, 3, 3, 6))
    for layout in (CHANNELS_LAST, BATCH_LAST):
        even, odd = split_channels(layout.arrange(images), layout)
        for half, expected in ((even, [0, 2, 4]), (odd, [1, 3, 5])):
            others = half.transpose([*layout.others, layout.channel])
            assert (others == jnp.array(expected)).all()


def test_the_shuffle_block_passes_even_channels_untouched(rng):
    images = jnp.asarray(rng.standard_normal((2, 4, 4, 6)), jnp.float32)
    block = BLOCKS["shuffle"](Op("k3", "shuffle", 3), 6, 1, CHANNELS_LAST, jax.nn.relu6)
    outputs, _ = block.init_with_output(jax.random.key(0), images, False)
    assert jnp.array_equal(outputs[..., :3], images[..., ::2])


@pytest.mark.parametrize(
    ("kind", "stride"),
    [
        ("shuffle", 1),
        ("shuffle", 2),
        ("xception", 1),
        ("xception", 2),
        ("relu_conv", 1),
        ("relu_conv", 2),
        ("avg_pool", 1),
        ("identity", 2),
    ],
)
def test_both_layouts_compute_the_same_block(rng, kind, stride):
    images = jnp.asarray(rng.standard_normal((3, 6, 6, 8)), jnp.float32)
    results = []
    for layout in (CHANNELS_LAST, BATCH_LAST):
        draws = np.random.default_rng(1)
        block = BLOCKS[kind](Op("op", kind, 3), 8 * stride, stride, layout, jax.nn.relu)
        inputs = layout.arrange(images)
        shapes = jax.eval_shape(
            lambda block=block, x=inputs: block.init(jax.random.key(0), x, True)
        )
        leaves, structure = jax.tree.flatten(shapes["params"])
        values = [jnp.asarray(draws.standard_normal(leaf.shape)) for leaf in leaves]
        params = jax.tree.unflatten(structure, values)

        @jax.jit
        def run(params, inputs, block=block):
            def loss(params):
                outputs: Any = block.apply({"params": params}, inputs, True)
                return jnp.sin(outputs).sum(), outputs

            return jax.grad(loss, has_aux=True)(params)

        gradients, outputs = run(params, inputs)
        back = [layout.dims.index(letter) for letter in "BHWC"]
        results.append([outputs.transpose(back), *jax.tree.leaves(gradients)])
    for left, right in zip(*results, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-3)


def test_average_pool_counts_pixels_inside_only(rng):
    images = rng.standard_normal((1, 4, 5, 2)).astype(np.float32)
    pooled = np.asarray(average_pool(jnp.asarray(images), 3, CHANNELS_LAST))
    for row, column in itertools.product(range(4), range(5)):
        window = images[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        np.testing.assert_allclose(
            pooled[:, row, column], window.mean((1, 2)), rtol=1e-4, atol=1e-5
        )
    constant = average_pool(jnp.ones((1, 1, 1, 2)), 3, CHANNELS_LAST)
    assert (constant == 1).all()


def test_halving_is_the_mean_of_four(rng):
    images = rng.standard_normal((2, 4, 6, 3)).astype(np.float32)
    expected = images.reshape(2, 2, 2, 3, 2, 3).mean((2, 4))
    for layout in (CHANNELS_LAST, BATCH_LAST):
        halved = halve(layout.arrange(jnp.asarray(images)), layout)
        np.testing.assert_allclose(
            halved, layout.arrange(jnp.asarray(expected)), rtol=1e-4, atol=1e-6
        )


@pytest.fixture
def affine(rng):
    """Scale and bias that put outputs below 0, between, and above 6."""
    return jnp.asarray(rng.uniform(3, 9, 5), jnp.float32), jnp.full(5, 2.0)


def test_relu_has_no_ceiling(rng):
    """The outputs and the gradient beyond 6 are those of the linear batch norm."""
    inputs = jnp.asarray(rng.standard_normal((4, 3, 3, 2)), jnp.float32)
    scale, bias = jnp.full(2, 9.0), jnp.full(2, 40.0)

    def outputs(inputs, activation):
        normalized: Any = normalize_batch(
            inputs, scale, bias, CHANNELS_LAST, activation
        )
        return normalized[0]

    relu = jax.nn.relu
    assert outputs(inputs, relu).min() > 6
    for function in (outputs, jax.grad(lambda x, a: jnp.sin(outputs(x, a)).sum())):
        np.testing.assert_array_equal(function(inputs, relu), function(inputs, None))


@LAYOUTS
@pytest.mark.parametrize(
    "activation",
    [jax.nn.relu, jax.nn.relu6, jnp.tanh, jax.nn.gelu],
    ids=["relu", "relu6", "tanh", "gelu"],
)
def test_activation_behind_batch_norm_equals_autodiff(rng, affine, layout, activation):
    """Fused or not: outputs and gradients of the plain formula, by autodiff."""
    images = jnp.asarray(rng.standard_normal((4, 3, 3, 5)), jnp.float32)

    def ours(inputs, scale, bias):
        normalized: Any = normalize_batch(inputs, scale, bias, layout, activation)
        return normalized[0]

    def plain(inputs, scale, bias):
        mean, var = inputs.mean(layout.others), inputs.var(layout.others)
        scale = layout.along_channels(scale / jnp.sqrt(var + EPSILON))
        centred = inputs - layout.along_channels(mean)
        return activation(centred * scale + layout.along_channels(bias))

    operands = layout.arrange(images), *affine
    outputs = ours(*operands)
    np.testing.assert_allclose(outputs, plain(*operands), rtol=1e-4, atol=1e-5)
    if activation in CEILINGS:
        assert outputs.min() == 0 and (outputs > 6).any() == (activation == jax.nn.relu)
    gradients = [
        jax.grad(lambda *x, run=run: jnp.sin(run(*x)).sum(), (0, 1, 2))(*operands)
        for run in (ours, plain)
    ]
    for left, right in zip(*gradients, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("activation", [jax.nn.relu6, jnp.tanh])
@pytest.mark.parametrize("running", [False, True])
def test_batch_norm_applies_its_activation(rng, activation, running):
    inputs = jnp.asarray(5 * rng.standard_normal((4, 3, 3, 5)), jnp.float32)
    module, linear = BatchNorm(CHANNELS_LAST, activation), BatchNorm(CHANNELS_LAST)
    variables = linear.init(jax.random.key(0), inputs, False)
    mutable = [] if running else ["batch_stats"]
    found, expected = (
        norm.apply(variables, inputs, not running, mutable=mutable)
        for norm in (module, linear)
    )
    np.testing.assert_allclose(found[0], activation(expected[0]), rtol=1e-6)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, found[1], expected[1]))


@pytest.mark.parametrize("name", spaces.SPACES)
def test_names_decide_about_every_leaf(name):
    """Every leaf of every space is one that initial values and scores know by name.

    A leaf is a kernel whose role has a rule in every family, the bias of the
    classifier, or part of a batch norm called `bn_*`. Every op of a searchable layer
    has one indicator batch norm in each cell; `zero` and `dense` have none.
    """
    space = spaces.build(name, image_size=32, image_channels=3, num_classes=10)
    wiring = LAYER_INDICATORS["candidate"](space)
    shapes = variable_shapes(plain_supernet(wiring))
    for collection, *path, module, leaf in flatten(shapes):
        if leaf == "kernel":
            for kernels in KERNEL_RULES:
                assert module in kernel_rules(kernels, depthwise_qr), path
        elif (module, leaf) != ("classifier", "bias"):
            assert module.startswith("bn_"), path
            names = {"params": ("scale", "bias"), "batch_stats": ("mean", "var")}
            assert leaf in names[collection], path
    params = shapes["params"]
    for index, layer in enumerate(wiring.sampled.layers):
        for op in (space.ops[number] for number in layer.ops):
            leaves = flatten(params.get(layer_name(index), {}).get(op.name, {}))
            norms = {leaf[:-1] for leaf in leaves if leaf[-2] in INDICATOR_BATCH_NORMS}
            cells = {leaf[0] for leaf in leaves if leaf[0].startswith("cell_")}
            scored = op.kind not in ("dense", "zero") and len(layer.ops) > 1
            expected = len(cells) or int(scored)
            assert len(norms) == expected, (index, op)
