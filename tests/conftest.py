"""Strict surroundings for every test: JAX on the CPU, two virtual devices."""

import os
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
# Every program is compiled anew, and the user's own cache is left alone.
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.gettempdir()

import dataclasses  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from difnas_jax import spaces  # noqa: E402
from difnas_jax.spaces.base import IDENTITY, Layer, Op, SearchSpace  # noqa: E402

TINY_OPS = (
    Op("k3e3", "inverted_residual", 3, 3),
    Op("k5e6", "inverted_residual", 5, 6),
    IDENTITY,
)


@pytest.fixture(scope="session")
def tiny() -> SearchSpace:
    """Three layers of two or three ops at 8x8: reduction, normal, normal."""
    digits = spaces.build("digits", image_size=8, image_channels=1, num_classes=10)
    layers = (
        Layer(8, 12, 2, (0, 1)),
        Layer(12, 12, 1, (0, 1, 2)),
        Layer(12, 12, 1, (0, 1, 2)),
    )
    fixed = (dataclasses.replace(digits.fixed[0], in_channels=8, out_channels=8),)
    return dataclasses.replace(
        digits,
        name="tiny",
        stem_channels=8,
        fixed=fixed,
        ops=TINY_OPS,
        layers=layers,
        head_channels=16,
    )


@pytest.fixture
def rng() -> np.random.Generator:
    """The one source of randomness, so that no test invents a seed."""
    return np.random.default_rng(0)
