"""The registered search spaces, by name."""

from collections.abc import Callable
from typing import Unpack

from difnas_jax.errors import InputError, require
from difnas_jax.spaces import mobilenet
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.dense import dense
from difnas_jax.spaces.image import Images, ImageSpace
from difnas_jax.spaces.nas_bench_201 import nas_bench_201
from difnas_jax.spaces.shufflenetv2 import shufflenetv2

SPACES: dict[str, Callable[..., ImageSpace]] = {
    "bnnas17": mobilenet.bnnas17,
    "dense": dense,
    "digits": mobilenet.digits,
    "fairnas19": mobilenet.fairnas19,
    "mbv2": mobilenet.mbv2,
    "nas_bench_201": nas_bench_201,
    "nas_bench_macro": mobilenet.nas_bench_macro,
    "shufflenetv2": shufflenetv2,
}


def build(name: str, **images: Unpack[Images]) -> ImageSpace:
    """Build a registered space.

    Args:
      name: key of `SPACES`.
      images: `image_size`, `image_channels` and `num_classes`; see `Images`.

    Raises:
      InputError: unknown name, or a size that cannot be.
    """
    if name not in SPACES:
        known = ", ".join(sorted(SPACES))
        raise InputError(f"space.name: expected one of {known}; got {name!r}")
    for field in ("image_size", "image_channels", "num_classes"):
        require(images[field] >= 1, f"space.{field}", "at least 1", images[field])
    return SPACES[name](**images)


__all__ = ["SPACES", "ImageSpace", "SearchSpace", "build"]
