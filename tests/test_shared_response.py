"""Candidates that start alike: kernels of one response, blocks that start as a skip."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from plain_networks import plain_network

from difnas_jax import spaces
from difnas_jax.models.initializers import initialize
from difnas_jax.models.orthogonal import (
    RELU_GAIN,
    depthwise_qr,
    shared_response,
    stacked_haar,
)


@pytest.mark.parametrize("name", ["nas_bench_macro", "mbv2"])
def test_all_candidates_of_a_layer_answer_a_constant_input_alike(name):
    """The law of the rule: E S project is one R for all, and no kernel stretches."""
    space = spaces.build(name, image_size=32, image_channels=3, num_classes=10)
    params = initialize(
        plain_network(space), 0, kernels="shared_response", depthwise="qr"
    )["params"]
    for layer, shape in enumerate(space.layers):
        responses, small = [], min(shape.in_channels, shape.out_channels)
        for block in params[f"layer_{layer:02d}"].values():
            if "project" not in block:
                continue  # an identity that keeps the shape
            project = block["project"]["kernel"].reshape(-1, shape.out_channels)
            values = np.linalg.svd(project, compute_uv=False)
            np.testing.assert_allclose(values[:small], 1, atol=1e-5)
            np.testing.assert_allclose(values[small:], 0, atol=1e-5)
            response = project
            if "expand" in block:
                signs = np.sign(block["depthwise"]["kernel"].sum((0, 1))[0])
                response = (block["expand"]["kernel"] * signs) @ project
            responses.append(response / np.linalg.norm(response))
        assert len(responses) > 1
        for response in responses:
            np.testing.assert_allclose(response, responses[0], atol=1e-6)


@pytest.mark.parametrize(("inputs", "outputs"), [(24, 40), (32, 64), (64, 24)])
def test_units_of_a_layer_that_widens_have_uneven_norms(rng, inputs, outputs):
    """As those of a cut Haar matrix are, and the same for all candidates."""
    drawn = []
    for expansion in (3, 6, 3):
        expand = stacked_haar(RELU_GAIN)(rng, (inputs, expansion * inputs))
        kernels = {
            "expand": expand,
            "depthwise": depthwise_qr(rng, (3, 3, 1, expansion * inputs)),
            "project": np.zeros((expansion * inputs, outputs)),
        }
        project = shared_response(kernels, np.random.default_rng(0))["project"]
        norms = np.linalg.norm(project, axis=0)
        drawn.append(norms / norms.mean())
    for norms in drawn:
        np.testing.assert_allclose(norms, drawn[0], atol=1e-12)
    wider = max(outputs - inputs, 0)
    law = math.sqrt(wider / (2 * inputs * (outputs + 2)))
    assert drawn[0].std() == pytest.approx(law, rel=0.4, abs=1e-12)


def test_blocks_of_scale_0_start_as_their_skip_connection(tiny, rng):
    """Paths that differ in normal layers alone are one network at the start."""
    model = plain_network(tiny)
    images = jnp.asarray(rng.normal(size=(4, 8, 8, 1)), jnp.float32)
    logits = jax.jit(
        lambda params, path: model.apply({"params": params}, images, path, True)
    )

    def of(path, block_scale):
        params = initialize(
            model, 0, kernels="orthogonal", depthwise="qr", block_scale=block_scale
        )["params"]
        return np.asarray(logits(params, jnp.asarray(path, jnp.int32)))

    np.testing.assert_array_equal(of((0, 0, 0), 0.0), of((0, 1, 1), 0.0))
    assert np.any(of((0, 0, 0), 0.0) != of((1, 0, 0), 0.0))
    assert np.any(of((0, 0, 0), 1.0) != of((0, 1, 1), 1.0))
