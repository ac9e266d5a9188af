"""Fully connected networks against a program in numpy, one image at a time."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import initial, plain_network, plain_supernet

from difnas_jax import spaces
from difnas_jax.isometry.mean_field import FUNCTIONS
from difnas_jax.models.layers import layer_name
from difnas_jax.ops.layout import BATCH_LAST, CHANNELS_LAST
from difnas_jax.report.diagrams import network_diagram
from difnas_jax.scoring.proxies.dense_kernel import contracted, factors
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS

IMAGES, SIZE, CLASSES = 6, 4, 3


def dense(**changes):
    space = spaces.build("dense", image_size=SIZE, image_channels=2, num_classes=3)
    return dataclasses.replace(space, **changes)


def images_of(rng):
    return rng.standard_normal((IMAGES, SIZE, SIZE, 2)).astype(np.float32)


def numpy_gradients(space, architecture, params, images):
    """Logits of each image, and the gradient of their sum by every weight, float64.

    Differs from the network: flat vectors, a loop over images, and an own backward
    pass with derivatives by central differences.
    """
    logits, rows = [], []
    for image in images.astype(np.float64):
        hidden = image.ravel() / np.linalg.norm(image)
        hidden = hidden * hidden.size**0.5
        passed = []
        for layer, index in enumerate(architecture):
            op = space.ops[index]
            if op.kind == "identity":
                continue
            kernel = params[layer_name(layer)][op.name]["dense"]["kernel"]
            inputs = hidden / hidden.size**0.5
            before = inputs @ kernel.astype(np.float64)
            function, step = FUNCTIONS[op.activation], 1e-6
            slope = (function(before + step) - function(before - step)) / (2 * step)
            passed.append((inputs, kernel, slope, op.skip))
            hidden = function(before) + (hidden if op.skip else 0)
        last = params["dense"]["kernel"].astype(np.float64)
        inputs = hidden / hidden.size**0.5
        logits.append(inputs @ last)
        gradients = [np.outer(inputs, np.ones(CLASSES))]
        cotangent = last.sum(1) / hidden.size**0.5
        for inputs, kernel, slope, skip in reversed(passed):
            before = cotangent * slope
            gradients.append(np.outer(inputs, before))
            beside = cotangent if skip else 0
            cotangent = kernel @ before / inputs.size**0.5 + beside
        rows.append(np.concatenate([gradient.ravel() for gradient in gradients]))
    return np.stack(logits), np.stack(rows)


ARCHITECTURES = [
    ("relu", "tanh+skip", "sigmoid+skip", "swish", "identity", "linear+skip"),
    ("swish", "leaky_relu", "linear", "relu+skip", "tanh", "identity"),
]


@pytest.fixture(scope="module")
def supernet():
    return plain_supernet(LAYER_INDICATORS["plain"](dense()))


@pytest.mark.parametrize("names", ARCHITECTURES)
def test_logits_and_kernel_are_those_of_an_explicit_jacobian(rng, supernet, names):
    """Through the supernet, by a traced path; 32 bits against 64."""
    space, variables, images = supernet.space, initial(supernet), images_of(rng)
    architecture = space.parse(names)
    logits, rows = numpy_gradients(space, architecture, variables["params"], images)
    path = jnp.asarray(architecture)
    run = jax.jit(lambda path: supernet.apply(variables, images, path, True))
    np.testing.assert_allclose(run(path), logits, rtol=1e-4, atol=1e-5)
    find = jax.jit(lambda path: factors(supernet, variables, images, path))
    kernel = contracted(find(path))
    assert kernel.dtype == np.float64
    np.testing.assert_allclose(kernel, rows @ rows.T, rtol=1e-4)
    expected = np.linalg.svd(rows, compute_uv=False)[-1] ** 2
    assert np.linalg.eigvalsh(kernel)[0] == pytest.approx(expected, rel=1e-3)


def test_the_found_network_has_the_kernel_of_its_path(rng, supernet):
    space, images = supernet.space, images_of(rng)
    path = space.parse(ARCHITECTURES[0])
    found = plain_network(space.cut(path))
    kernels = [
        contracted(factors(model, initial(model), images, jnp.asarray(path)))
        for model in (supernet, found)
    ]
    np.testing.assert_allclose(*kernels, rtol=1e-5)


def test_weights_are_standard_normal_and_unlike_each_other(supernet):
    params = initial(supernet)["params"]
    kernels = [
        params[layer_name(layer)][name]["dense"]["kernel"]
        for layer in (1, 2)
        for name in ("relu", "relu+skip")
    ]
    for kernel in kernels:
        assert kernel.mean() == pytest.approx(0, abs=0.05)
        assert kernel.std() == pytest.approx(1, rel=0.05)
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)


def test_layouts_and_brightness_change_nothing(rng):
    """Only the direction of an image counts, and black stays black."""
    space, images = dense(), images_of(rng)
    path = space.parse(ARCHITECTURES[1])
    models = [
        plain_network(space.cut(path), layout=layout)
        for layout in (BATCH_LAST, CHANNELS_LAST)
    ]
    expected, *others = [
        np.asarray(
            model.apply(initial(model), scale * images, jnp.asarray(path), False)
        )
        for model in models
        for scale in (1, 37)
    ]
    for logits in others:
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    black = np.zeros_like(images)
    logits: Any = models[0].apply(initial(models[0]), black, jnp.asarray(path), False)
    assert np.isfinite(logits).all()


def test_the_diagram_has_a_box_for_each_layer_and_an_arc_for_each_skip():
    space = dense()
    figure = network_diagram(space, space.parse(ARCHITECTURES[0]))
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert texts[::2] == ["image", "relu", "tanh", "sigmoid", "swish", "linear"] + [
        "classifier"
    ]
    units = [32, *[64] * 5, 3]
    assert texts[1::2] == [f"{n} units" for n in units] and len(axes.patches) == 3
