"""Networks, paths, images and training settings that all programs share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from difnas_jax import config
from difnas_jax.spaces.chain import ChainSpace, stage_layers
from difnas_jax.spaces.image import ImageSpace
from difnas_jax.spaces.mobilenet import OPS, fairnas19, mbv2

SEED = 0
# (out channels, stride of the first layer, layers)
STAGES = ((24, 1, 4), (32, 2, 4), (64, 2, 4), (96, 1, 4), (160, 2, 4))
FOUND_OP = 3  # k5e6
COMMON_OPS = (0, 1)  # k3e3 and k3e6


def six_ops() -> ChainSpace:
    """The network of the comparisons: 20 layers with six ops each, images of 32."""
    return dataclasses.replace(
        fairnas19(image_size=32, image_channels=3, num_classes=10),
        name="benchmark",
        stem_stride=1,
        ops=OPS[:6],
        layers=stage_layers(16, STAGES, reducing=6, normal=6),
    )


def seven_ops() -> ChainSpace:
    """The same with identity as seventh op of the normal layers."""
    layers = stage_layers(16, STAGES, reducing=6, normal=7)
    return dataclasses.replace(six_ops(), ops=OPS, layers=layers)


def two_ops() -> ChainSpace:
    """The same with the ops `COMMON_OPS` alone."""
    space = six_ops()
    layers = tuple(dataclasses.replace(layer, ops=COMMON_OPS) for layer in space.layers)
    return dataclasses.replace(space, layers=layers)


def imagenet() -> ChainSpace:
    """The network of the accelerators: `mbv2` at 224 pixels without identity."""
    sizes = {"image_size": 224, "image_channels": 3, "num_classes": 1000}
    return mbv2(**sizes).without_identity()


def short() -> ChainSpace:
    """Five layers of `two_ops`, compiled in seconds, with a smooth activation.

    Rounding moves some units of ReLU6 across its kinks, and that alone moves a gradient
    by 5e-4 of its norm: the layouts of the CPU differ by so much.
    """
    space = two_ops()
    return dataclasses.replace(space, layers=space.layers[:5], activation="tanh")


def tiny() -> ChainSpace:
    """One layer of `two_ops` at 8 pixels, to try out a benchmark."""
    space = two_ops()
    return dataclasses.replace(space, image_size=8, layers=space.layers[:1])


def found(space: ChainSpace) -> ChainSpace:
    """One network of a space, its op `FOUND_OP` in every layer."""
    return space.cut((FOUND_OP,) * space.num_layers)


SPACES: dict[str, Callable[[], ChainSpace]] = {
    "six_ops": six_ops,
    "seven_ops": seven_ops,
    "two_ops": two_ops,
    "imagenet": imagenet,
    "short": short,
    "tiny": tiny,
    "found": lambda: found(six_ops()),
    "imagenet_found": lambda: found(imagenet()),
    "tiny_found": lambda: tiny().cut((0,)),
}


def _fair(rng: np.random.Generator, layers: int) -> np.ndarray:
    return np.stack([rng.permutation(6) for _ in range(layers)], axis=1)


def _common(rng: np.random.Generator, layers: int) -> np.ndarray:
    path = rng.integers(len(COMMON_OPS), size=layers)
    return np.stack([path, 1 - path])


# Rule -> a set of paths, int[K, L].
PATH_SETS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    # Six paths that take every op of every layer once.
    "fair": _fair,
    # Two paths that take each of the common ops of every layer once.
    "common": _common,
    # The found network, a few updates in a row, or once.
    "repeated": lambda rng, layers: np.full((4, layers), FOUND_OP),
    "once": lambda rng, layers: np.full((1, layers), FOUND_OP),
    # One path that takes each of the six ops in every sixth layer.
    "mixed": lambda rng, layers: np.arange(layers)[None] % 6,
}


def path_sets(rule: str, layers: int) -> Iterator[np.ndarray]:
    """Sets of paths without end, the same for every program that uses the rule.

    Args:
      rule: key of `PATH_SETS`.
      layers: L.

    Yields:
      int32[K, L].
    """
    rng = np.random.default_rng(SEED)
    while True:
        yield PATH_SETS[rule](rng, layers).astype(np.int32)


def noise_batch(space: ImageSpace, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic images float32[B, H, W, C] and labels int32[B]: speed tests only."""
    rng = np.random.default_rng(SEED)
    side = space.image_size
    images = rng.standard_normal((batch_size, side, side, space.image_channels))
    labels = rng.integers(space.num_classes, size=batch_size)
    return images.astype(np.float32), labels.astype(np.int32)


def settings(
    section: str, batch_size: int, fields: Mapping[str, Any] = {}
) -> ConfigDict:
    """The default training section `supernet` or `retrain` with some other fields.

    Raises:
      KeyError: a field that the section does not have.
    """
    settings = config.default()[section]
    settings.update(batch_size=batch_size, **fields)
    return settings
