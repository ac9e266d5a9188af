"""The Triton kernels, interpreted, and where they are taken."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from difnas_jax.models import modules
from difnas_jax.ops import convolutions, depthwise_kernels
from difnas_jax.ops.convolutions import native_conv
from difnas_jax.ops.layout import BATCH_LAST, CHANNELS_LAST
from difnas_jax.runtime import compilation
from difnas_jax.runtime.mesh import data_mesh

convolve = functools.partial(depthwise_kernels.convolve, interpret=True)


def drawn(rng, size, side, batch=2):
    """Images, a kernel; more channels than a block has."""
    channels = depthwise_kernels.CHANNELS + 4
    images = rng.standard_normal((batch, size, size, channels))
    kernel = rng.standard_normal((side, side, 1, channels)) / side
    return jnp.asarray(images, jnp.float32), jnp.asarray(kernel, jnp.float32)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [3, 5, 7])
@pytest.mark.parametrize("size", [8, 7])
def test_kernels_equal_the_native_convolution(rng, size, side, stride):
    images, kernel = drawn(rng, size, side)

    def loss(conv, images):
        return jnp.sin(conv(images)).sum()

    ours = jax.value_and_grad(
        lambda images: loss(lambda x: convolve(x, kernel, stride), images)
    )(images)
    expected = jax.value_and_grad(
        lambda images: loss(
            lambda x: native_conv(x, kernel, stride, CHANNELS_LAST), images
        )
    )(images)
    for left, right in zip(ours, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5)


def test_a_batch_on_two_devices_stays_there(rng):
    images, kernel = drawn(rng, 6, 3, batch=4)
    split = NamedSharding(data_mesh(), PartitionSpec("data"))
    run = jax.jit(
        jax.value_and_grad(lambda images: jnp.sin(convolve(images, kernel, 2)).sum())
    )
    compiled = run.lower(jax.device_put(images, split)).compile()
    text = str(compiled.as_text())
    assert "all-gather" not in text
    assert text.count(" all-reduce(") == 1  # of the sum
    loss, gradient = compiled(jax.device_put(images, split))
    assert gradient.sharding.spec[0] == "data"
    expected = run(images)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-5)


def test_kernels_under_vmap(rng):
    images, kernel = drawn(rng, 6, 3)
    both = jax.vmap(lambda images: convolve(images[None], kernel, 1)[0])(images)
    np.testing.assert_allclose(both, convolve(images, kernel, 1), atol=1e-6)


def test_maps_that_the_kernels_take():
    shape = 128, 112, 112, 144
    assert depthwise_kernels.take(shape, CHANNELS_LAST)
    assert not depthwise_kernels.take(shape, BATCH_LAST)
    assert not depthwise_kernels.take((2048, *shape[1:]), CHANNELS_LAST)


@pytest.mark.parametrize("triton", [False, True])
@pytest.mark.parametrize("collection", ["frozen", "params"])
def test_only_frozen_kernels_on_a_gpu_take_them(monkeypatch, triton, collection):
    monkeypatch.setattr(convolutions, "has_triton", lambda: triton)
    depthwise = modules.Depthwise(3, 1, CHANNELS_LAST)
    dense = modules.Conv(4, 3, 1, CHANNELS_LAST)
    images = jnp.ones((2, 8, 8, 4))
    for module, shape in ((depthwise, (3, 3, 1, 4)), (dense, (3, 3, 4, 4))):
        variables = {collection: {"kernel": jnp.ones(shape)}}
        program = str(jax.make_jaxpr(module.apply)(variables, images))
        taken = triton and collection == "frozen"
        assert ("pallas_call" in program) == (taken and module is depthwise)
        assert ("conv_general_dilated" in program) == (not taken)


def test_xla_times_nothing_for_frozen_kernels_on_a_gpu(monkeypatch):
    options = []
    monkeypatch.setattr(
        jax, "jit", lambda function, **given: options.append(given["compiler_options"])
    )
    for triton in (False, True):
        monkeypatch.setattr(compilation, "has_triton", lambda triton=triton: triton)
        for frozen in (False, True):
            compilation.compiled(lambda: None, frozen=frozen)
    assert options == [None, None, None, compilation.UNTIMED]
