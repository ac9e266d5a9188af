"""Training-free scores against their definitions, by a program written another way."""

import dataclasses
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import initial, plain_network
from reference_cells import Reference, convolved, float64_leaves, normalised

from difnas_jax import spaces
from difnas_jax.models.initializers import initialize
from difnas_jax.ops.layout import BATCH_LAST, CHANNELS_LAST
from difnas_jax.scoring.proxies import (
    COLUMNS,
    PROXIES,
    PROXY_OF,
    blockwise,
    kernels,
)
from difnas_jax.scoring.proxies.base import Apply, Proxy, kernel, on_host
from difnas_jax.scoring.proxies.counts import Count
from difnas_jax.scoring.proxies.networks import REDUCTIONS
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS

IMAGES, SIZE, CLASSES = 6, 8, 3
# none 0, skip 1, 1x1 2, 3x3 3, pooling 4, by edge
ARCHITECTURES = {
    "convolutions": (3, 2, 3),
    "mixed": (2, 3, 1),
    "pooling": (4, 2, 3),
}


def small_space() -> CellSpace:
    """Two stages of one cell of three edges, with a reduction between."""
    space = spaces.build(
        "nas_bench_201", image_size=SIZE, image_channels=3, num_classes=CLASSES
    )
    space = LAYER_INDICATORS["plain"](space).sampled
    assert isinstance(space, CellSpace)
    return dataclasses.replace(
        space,
        channels=(3, 6),
        cells=1,
        edges=((0, 1), (0, 2), (1, 2)),
        layers=space.layers[:3],
    )


@functools.cache
def inputs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two batches of smooth images, and their labels."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((2, IMAGES, SIZE, SIZE, 3)).cumsum(2).cumsum(3)
    images /= images.std((2, 3), keepdims=True)
    labels = np.arange(2 * IMAGES).reshape(2, IMAGES) % CLASSES
    return images.astype(np.float32), labels.astype(np.int32)


def values(rule: str = "he_fan_out", **changes: Any) -> dict[str, Any]:
    model = plain_network(small_space(), **changes)
    return initialize(model, 0, kernels=rule, depthwise="qr")


@functools.cache
def program(name: str) -> Any:
    """The compiled observation of a proxy: (variables, images, labels, path)."""
    proxy = PROXIES[name]
    assert isinstance(proxy, Proxy)
    model = plain_network(small_space(), layout=BATCH_LAST, **proxy.options)

    @jax.jit
    def observe(variables: Any, images: Any, labels: Any, path: Any) -> Any:
        return proxy.observe(Apply(model, path), variables, images, labels)

    return observe


def columns(name: str, path: Any, variables: Any = None) -> dict[str, float]:
    """What a proxy says of a path, or of weights of ops."""
    proxy, (images, labels) = PROXIES[name], inputs()
    assert isinstance(proxy, Proxy)
    if proxy.images in ("train", "noise", "crops"):
        images, labels = images[0], labels[0]
    if proxy.images == "ones":
        images, labels = np.ones_like(images[0, :1]), labels[0, :1]
    variables = values() if variables is None else variables
    found = program(name)(variables, images, labels, jnp.asarray(path))
    return proxy.conclude(on_host(found))


@functools.cache
def reference_jacobian(name: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Of both batches, one gradient an image, weights of cells first, and their count.

    In float64, as 2 x [B, P].
    """
    network = Reference(small_space(), ARCHITECTURES[name])
    params = float64_leaves(values()["params"])

    def is_weight(path: Any) -> bool:
        return path[-1].key in ("kernel", "scale")

    def is_cell(path: Any) -> bool:
        return path[0].key.startswith(("layer", "reduction"))

    with jax.enable_x64(True):

        @jax.jit
        def gradient(params: Any, images: Any, image: Any) -> Any:
            return jax.grad(lambda p: network(p, images)[image].sum())(params)

        batches = []
        for images in inputs()[0].astype(np.float64):
            rows = []
            for image in range(IMAGES):
                leaves = jax.tree_util.tree_leaves_with_path(
                    gradient(params, images, image)
                )
                weights = [pair for pair in leaves if is_weight(pair[0])]
                weights.sort(key=lambda pair: not is_cell(pair[0]))
                rows.append(np.concatenate([np.ravel(leaf) for _, leaf in weights]))
            batches.append(np.stack(rows))
        size = sum(np.size(leaf) for path, leaf in weights if is_cell(path))
    return batches[0], batches[1], size


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_ntk_scores_are_those_of_one_gradient_an_image(name: str) -> None:
    train, held_out, size = reference_jacobian(name)
    found = columns("ntk", ARCHITECTURES[name])
    singular = np.linalg.svd(train, compute_uv=False)
    labels = inputs()[1]
    one_hot = np.eye(CLASSES)[labels]
    targets, expected = one_hot - one_hot.mean(1, keepdims=True)
    inverse = np.linalg.inv(train @ train.T)
    cells = train[:, :size]
    weights = np.linalg.inv(cells @ cells.T) @ targets
    predicted = held_out[:, :size] @ cells.T @ weights
    error = np.mean([np.dot(row, row) for row in predicted - expected])
    assert found["ntk_condition"] == pytest.approx(
        (singular[0] / singular[-1]) ** 2, rel=0.02
    )
    assert found["ntk_min_eigenvalue"] == pytest.approx(singular[-1] ** 2, rel=5e-3)
    assert found["regression_error"] == pytest.approx(error, rel=5e-3)
    assert found["ntk_trace"] == pytest.approx((train**2).sum(), rel=1e-4)
    assert found["ntk_mean"] == pytest.approx((train @ train.T).mean(), rel=1e-4)
    assert found["ntk_log_det"] == pytest.approx(2 * np.log(singular).sum(), abs=0.02)
    energy = np.einsum("ic,ij,jc->", targets, inverse, targets)
    assert found["ntk_label_energy"] == pytest.approx(energy, rel=5e-3)


def recorded_codes(name: str, images: np.ndarray) -> np.ndarray:
    """bool[B, units] of all activations of the reference."""
    network = Reference(small_space(), ARCHITECTURES[name])
    with jax.enable_x64(True):
        network(float64_leaves(values()["params"]), jnp.asarray(images, jnp.float64))
        return np.concatenate([np.asarray(codes) for codes in network.codes], axis=1)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scores_of_activity_are_those_of_the_codes(name: str) -> None:
    codes = recorded_codes(name, inputs()[0][0])
    agree = sum((codes[:, None] == codes).T.astype(float))
    expected = np.linalg.slogdet(agree)[1]
    path = ARCHITECTURES[name]
    assert columns("nwot", path)["nwot"] == pytest.approx(expected, rel=1e-6)
    assert columns("swap", path)["swap"] == len(np.unique(codes, axis=1).T)
    found = columns("linear_regions", path)
    assert found["linear_regions"] == len(np.unique(np.packbits(codes, 1), axis=0))
    assert found["region_share"] == found["linear_regions"] / IMAGES


def test_equal_images_share_a_region_and_make_nwot_infinite() -> None:
    images, labels = inputs()
    twice = np.repeat(images[0, : IMAGES // 2], 2, axis=0)
    path = jnp.asarray(ARCHITECTURES["mixed"])
    found = on_host(program("linear_regions")(values(), twice, labels[0], path))
    regions = PROXIES["linear_regions"]
    assert isinstance(regions, Proxy)
    assert regions.conclude(found)["linear_regions"] == IMAGES // 2
    found = on_host(program("nwot")(values(), twice, labels[0], path))
    nwot = PROXIES["nwot"]
    assert isinstance(nwot, Proxy)
    assert nwot.conclude(found) == {"nwot": float("-inf")}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scores_of_input_gradients(name: str) -> None:
    network = Reference(small_space(), ARCHITECTURES[name])
    params, images = float64_leaves(values()["params"]), inputs()[0][0]
    with jax.enable_x64(True):
        sums = jax.jit(jax.grad(lambda images: network(params, images).sum()))
        rows = np.reshape(sums(images.astype(np.float64)), (IMAGES, -1))
    correlations = np.corrcoef(rows)
    eigenvalues = np.linalg.eigvalsh(correlations) + 1e-5
    found = columns("jacov", ARCHITECTURES[name])
    expected = -(np.log(eigenvalues) + 1 / eigenvalues).sum()
    assert found["jacov"] == pytest.approx(expected, rel=1e-3)
    labels, logs = inputs()[1][0], np.log(np.abs(correlations) + 1e-5)
    within = [logs[labels == c][:, labels == c].sum() for c in range(CLASSES)]
    assert found["epe_nas"] == pytest.approx(np.abs(within).sum(), rel=1e-3)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_synflow_is_that_without_rescaling(name: str) -> None:
    network = Reference(small_space(), ARCHITECTURES[name])
    positive = jax.tree.map(np.abs, float64_leaves(values()["params"]))
    with jax.enable_x64(True):

        def total(params: Any) -> Any:
            ones = jnp.ones((1, SIZE, SIZE, 3))
            return network(params, ones, norm=lambda images, _: images).sum()

        gradients = jax.jit(jax.grad(total))(positive)
        flow = sum(
            float((leaf * gradient).sum())
            for (path, leaf), gradient in zip(
                jax.tree_util.tree_leaves_with_path(positive),
                jax.tree.leaves(gradients),
                strict=True,
            )
            if path[-1].key == "kernel"
        )
    found = columns("synflow", ARCHITECTURES[name])
    assert found["synflow"] == pytest.approx(np.log(flow), rel=1e-5)


def test_how_many_backward_passes_run_at_once_changes_nothing() -> None:
    model = plain_network(small_space())
    path, images = jnp.asarray(ARCHITECTURES["mixed"]), inputs()[0][0]

    apply = Apply(model, path)
    one, two, all_ = (
        jax.jit(functools.partial(kernels.jacobian, apply, at_once=at_once))(
            values(), images
        )
        for at_once in (1, 2, IMAGES)
    )
    assert any(np.any(leaf != 0) for leaf in one.values())
    for path, rows in one.items():
        scale = 1e-5 * np.abs(rows).max()
        np.testing.assert_allclose(two[path], rows, rtol=1e-4, atol=scale)
        np.testing.assert_allclose(all_[path], rows, rtol=1e-4, atol=scale)


def test_kernels_come_from_both_collections() -> None:
    model, path = plain_network(small_space()), ARCHITECTURES["mixed"]
    frozen = initial(model, trainable="all_bn")
    assert "kernel" not in str(frozen["params"]["layer_00"])
    for name in ("ntk", "synflow"):
        expected = columns(name, path, initial(model))
        assert columns(name, path, frozen) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["ntk", "nwot", "linear_regions", "jacov"])
def test_a_mixture_with_one_op_a_layer_is_the_path(name: str) -> None:
    """So an op of weight 0 changes neither the kernel nor the codes."""
    path = ARCHITECTURES["mixed"]
    weights = np.eye(len(small_space().ops), dtype=np.float32)[list(path)]
    assert columns(name, weights) == pytest.approx(columns(name, path), rel=1e-3)


def test_a_mixture_adds_up_its_ops() -> None:
    """Of equal convolutions the mean is the one of them."""
    space, path = small_space(), ARCHITECTURES["convolutions"]
    pair = (2, 3)
    weights = np.zeros((space.num_layers, space.num_ops), np.float32)
    weights[np.arange(space.num_layers), path] = 1
    weights[0, list(pair)] = 0.5
    both = columns("linear_regions", weights)["linear_regions"]
    assert both >= columns("linear_regions", path)["linear_regions"]


@pytest.mark.parametrize(
    "name", [n for n, p in PROXIES.items() if isinstance(p, Proxy)]
)
def test_a_dead_network_has_the_worst_score(name: str) -> None:
    """Without any op no column is better than with convolutions."""
    dead, alive = (
        columns(name, path) for path in ((0,) * 3, ARCHITECTURES["convolutions"])
    )
    for column, value in dead.items():
        if np.isfinite(value) and not column == "ntk_trace":
            assert COLUMNS[column].higher_is_better
            assert value <= alive[column]


def test_blocks_that_pass_all_on_are_isometric() -> None:
    """A cell of one skip connection: its response to cotangents is the identity."""
    images, labels = inputs()
    found = program("blockwise")(values(), images[0], labels[0], jnp.asarray((0, 1, 0)))
    first, reduction, second = found["responses"]
    for response in (first, second):
        noise = 5 / np.sqrt(IMAGES * SIZE**2 / 4)
        np.testing.assert_allclose(response, np.eye(len(response)), atol=noise)
    assert reduction.shape == (4 * 3, 6)


def test_every_column_has_one_row() -> None:
    assert set(PROXY_OF) == set(COLUMNS)
    names = [column for proxy in PROXIES.values() for column in proxy.columns]
    assert len(names) == len(set(names))
    assert all(column.meaning for column in COLUMNS.values())


def test_counts_of_live_convolutions() -> None:
    """One counts if the input reaches it and it reaches the output."""
    count = PROXIES["structure"]
    assert isinstance(count, Count)
    architectures = np.array([(3, 0, 0), (3, 1, 0), (3, 2, 1), (0, 1, 3)])
    found = count.measure(small_space(), architectures)["live_convs"]
    np.testing.assert_array_equal(found, [0, 0, 2, 0])


def test_layouts_agree() -> None:
    """The images of a code are found wherever the layout has them."""
    images, path = inputs()[0][0], jnp.asarray(ARCHITECTURES["mixed"])
    found = []
    for layout in (BATCH_LAST, CHANNELS_LAST):
        model = plain_network(small_space(), layout=layout)
        _, state = model.apply(
            values(), images, path, True, mutable=["code_similarity"]
        )
        found.append(sum(jax.tree.leaves(state)))
    np.testing.assert_array_equal(*found)


def test_the_kernel_orders_cells_as_known() -> None:
    """Cells of convolutions are better conditioned than those almost without.

    The cells and their order are those of an independent computation with other
    images; inside of the two groups the order depends on the drawing.
    """
    space = spaces.build(
        "nas_bench_201", image_size=16, image_channels=3, num_classes=10
    )
    plain = LAYER_INDICATORS["plain"](REDUCTIONS["narrow"](space)).sampled
    model = plain_network(plain, layout=BATCH_LAST)
    variables = initialize(model, 0, kernels="he_fan_out", depthwise="qr")
    rng = np.random.default_rng(0)
    images = rng.standard_normal((16, 16, 16, 3)).cumsum(1).cumsum(2)
    images = (images / images.std((1, 2), keepdims=True)).astype(np.float32)

    @jax.jit
    def features(path: Any) -> Any:
        return kernels.rows_of_jacobian(Apply(model, path), variables, images)

    def condition(cell: str) -> float:
        path = np.array(["ns13p".index(op) for op in cell], np.int32)
        cells, others = on_host({"all": features(path)})["all"]
        theta = kernel(cells, cells) + kernel(others, others)
        return float(np.linalg.cond(theta))

    good = [condition(cell) for cell in ("333333", "111111", "p3s1p3", "3s3s33")]
    bad = [condition(cell) for cell in ("npnsns", "ssssss", "ppp3ss")]
    assert max(good) < min(bad)


def loss_gradients(name: str, images: np.ndarray, labels: np.ndarray) -> list[Any]:
    """By every kernel, in float64; the loss is the mean cross-entropy of a batch."""
    network = Reference(small_space(), ARCHITECTURES[name])
    params = float64_leaves(values()["params"])

    @jax.jit
    def gradient(images: Any, labels: Any) -> Any:
        def loss(params: Any) -> Any:
            logs = jax.nn.log_softmax(network(params, images))
            return -(logs * jax.nn.one_hot(labels, CLASSES)).sum(1).mean()

        return jax.grad(loss)(params)

    found = []
    with jax.enable_x64(True):
        for batch, own in zip(images, labels, strict=True):
            tree = gradient(jnp.asarray(batch, jnp.float64), own)
            leaves = jax.tree_util.tree_leaves_with_path(tree)
            kernels_ = [leaf for path, leaf in leaves if path[-1].key == "kernel"]
            found.append([np.asarray(leaf) for leaf in kernels_])
    return found


@pytest.mark.parametrize("name", ["convolutions", "mixed"])
def test_zico_and_gradsign(name: str) -> None:
    images, labels = inputs()
    first, second = loss_gradients(name, images, labels)
    ratios = []
    for one, other in zip(first, second, strict=True):
        deviation = np.abs(one - other) / 2
        mean, live = (np.abs(one) + np.abs(other)) / 2, deviation > 0
        ratios.append((mean[live] / deviation[live]).sum())
    expected = np.log([ratio for ratio in ratios if ratio > 0]).sum()
    assert columns("zico", ARCHITECTURES[name])["zico"] == pytest.approx(expected, 1e-2)
    alone = loss_gradients(name, images[0][:, None], labels[0][:, None])
    signs = [np.sign(np.stack(leaf)).sum(0) for leaf in zip(*alone, strict=True)]
    agreement = sum(np.abs(sums).sum() for sums in signs)
    found = columns("gradsign", ARCHITECTURES[name])["gradsign"]
    assert found == pytest.approx(agreement, rel=0.02)


@pytest.mark.parametrize("name", ["convolutions", "pooling"])
def test_scores_of_blocks(name: str) -> None:
    """Of a cell, the reduction and a cell, each with a backward pass of its own."""
    network = Reference(small_space(), ARCHITECTURES[name])
    params = float64_leaves(values()["params"])
    blocks = [
        lambda x: network.cell(params, x, 0, normalised),
        lambda x: network.reduction(params, x, 1, normalised),
        lambda x: network.cell(params, x, 1, normalised),
    ]
    shapes = [(IMAGES, SIZE, SIZE, 3)] * 2 + [(IMAGES, SIZE // 2, SIZE // 2, 6)] * 2
    keys = jax.random.split(jax.random.key(blockwise.SEED), len(shapes))
    cotangents = [
        np.asarray(jax.random.rademacher(key, shape, jnp.float32), np.float64)
        for key, shape in zip(keys, shapes, strict=True)
    ]
    with jax.enable_x64(True):
        stem = jnp.asarray(inputs()[0][0], jnp.float64)
        stem = convolved(stem, params["entry"]["kernel"])
        features, strongest = [normalised(stem, params["bn_entry"])], []
        for block, cotangent in zip(blocks, cotangents[1:], strict=True):
            outputs, backward = jax.vjp(block, features[-1])
            (gradient,) = backward(jnp.asarray(cotangent))
            features.append(outputs)
            strongest.append(strongest_response(np.asarray(gradient), cotangent))
    entropies = [entropy_of_channels(np.asarray(each)) for each in features]
    found = columns("blockwise", ARCHITECTURES[name])
    assert found["expressivity"] == pytest.approx(sum(entropies), rel=1e-4)
    smallest = np.diff(entropies).min()
    assert found["progressivity"] == pytest.approx(smallest, rel=1e-3, abs=1e-4)
    trainability = np.mean([2 - s - 1 / s for s in strongest])
    assert found["trainability"] == pytest.approx(trainability, rel=1e-3)


def strongest_response(gradient: np.ndarray, cotangent: np.ndarray) -> float:
    """Largest singular value of the sum over pixels, one after another."""
    batch, height, width, _ = cotangent.shape
    side, total = gradient.shape[1] // height, 0.0
    for row, column in itertools.product(range(height), range(width)):
        rows = slice(side * row, side * (row + 1))
        window = gradient[:, rows, side * column : side * (column + 1)]
        total += window.reshape(batch, -1).T @ cotangent[:, row, column]
    return float(np.linalg.norm(total / (batch * height * width), 2))


def entropy_of_channels(features: np.ndarray) -> float:
    """Of the eigenvalues of their covariance, as shares."""
    pixels = features.reshape(-1, features.shape[-1])
    shares = np.linalg.svd(pixels - pixels.mean(0), compute_uv=False) ** 2
    shares /= shares.sum()
    return float(-(shares * np.log(shares)).sum())
