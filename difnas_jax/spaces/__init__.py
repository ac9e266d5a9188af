"""The registered search spaces, by name."""

from __future__ import annotations

from collections.abc import Callable

from difnas_jax.errors import InputError
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.digits import digits
from difnas_jax.spaces.image import ImageSpace
from difnas_jax.spaces.mbv2 import bnnas17, fairnas19, mbv2
from difnas_jax.spaces.nas_bench_201 import nas_bench_201
from difnas_jax.spaces.nas_bench_macro import nas_bench_macro
from difnas_jax.spaces.shufflenetv2 import shufflenetv2

SPACES: dict[str, Callable[[int, int, int], ImageSpace]] = {
    "bnnas17": bnnas17,
    "digits": digits,
    "fairnas19": fairnas19,
    "mbv2": mbv2,
    "nas_bench_201": nas_bench_201,
    "nas_bench_macro": nas_bench_macro,
    "shufflenetv2": shufflenetv2,
}


def build(
    name: str, *, image_size: int, image_channels: int, num_classes: int
) -> ImageSpace:
    """Build a registered space.

    Args:
      name: key of `SPACES`.
      image_size: side of the square input images in pixels.
      image_channels: 1 for grey, 3 for colour.
      num_classes: outputs of the classifier.

    Raises:
      InputError: unknown name, or a size that cannot be.
    """
    if name not in SPACES:
        known = ", ".join(sorted(SPACES))
        raise InputError(f"space.name: expected one of {known}; got {name!r}")
    for field, value in (
        ("image_size", image_size),
        ("image_channels", image_channels),
        ("num_classes", num_classes),
    ):
        if value < 1:
            raise InputError(f"space.{field}: expected at least 1, got {value}")
    return SPACES[name](image_size, image_channels, num_classes)


__all__ = ["SPACES", "ImageSpace", "SearchSpace", "build"]
