"""Depthwise convolutions as matrix products, one for each channel, batch last.

The outputs [H' W', B] of a channel are a band matrix [H' W', H W] times its inputs
[H W, B]. The zeros of the matrix are multiplied too, which pays where the map is
smaller than the kernel. The gradient of the kernel is the product [H' W', B] x [B, H W]
summed along the band, which pays on somewhat larger maps.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.ops.layout import Layout

# The largest height and width of a cotangent that pays in the gradient of a kernel.
SIDE = 8


def pays(shape: tuple[int, ...], side: int, layout: Layout) -> bool:
    """Whether the band is cheaper than the taps: the map is smaller than the kernel."""
    height, width = (shape[axis] for axis in layout.spatial)
    return layout.channel == 0 and height * width < side**2


def pays_for_kernels(shape: tuple[int, ...], layout: Layout) -> bool:
    """Whether `kernel_gradient` is cheaper than sums, for a cotangent of this shape."""
    return layout.channel == 0 and max(shape[axis] for axis in layout.spatial) <= SIDE


def convolve(images: Array, kernel: Array, stride: int) -> Array:
    """Convolve [C, H, W, B] with a kernel [k, k, 1, C]."""
    return _products(_bands("copij", images.shape, kernel, stride), images)


def images_gradient(
    shape: tuple[int, ...], kernel: Array, cotangent: Array, stride: int
) -> Array:
    """The gradient of images [C, H, W, B] from a cotangent [C, H', W', B]."""
    return _products(_bands("cijop", shape, kernel, stride), cotangent)


def _bands(order: str, shape: tuple[int, ...], kernel: Array, stride: int) -> Array:
    """[k, k, 1, C] -> the band matrices, for images of a shape [C, H, W, B].

    Args:
      order: of the dimensions: c for C, o and p for H' and W', i and j for H and W.
      shape: of the images.
      kernel: [k, k, 1, C].
      stride: 1 or 2.
    """
    rows, columns = (_band(size, kernel.shape[0], stride) for size in shape[1:3])
    constants = _constants(rows, columns, kernel)
    return jnp.einsum(f"rsc,oir,pjs->{order}", kernel[:, :, 0], *constants)


def _band(size: int, side: int, stride: int) -> np.ndarray:
    """bool[size', size, k]: the tap through which an output sees an input."""
    outputs, inputs = np.arange(0, size, stride)[:, None], np.arange(size)
    taps = inputs - outputs + side // 2
    return taps[..., None] == np.arange(side)


def _constants(rows: np.ndarray, columns: np.ndarray, like: Array) -> list[Array]:
    return [jnp.asarray(band, like.dtype) for band in (rows, columns)]


def _products(bands: Array, images: Array) -> Array:
    """[C, H', W', H, W] times [C, H, W, B] -> [C, H', W', B]."""
    channels, *outputs = bands.shape[:3]
    positions = images.shape[1] * images.shape[2]
    product = jnp.einsum(
        "coi,cib->cob",
        bands.reshape(channels, -1, positions),
        images.reshape(channels, positions, -1),
    )
    return product.reshape(channels, *outputs, -1)


def kernel_gradient(images: Array, side: int, cotangent: Array, stride: int) -> Array:
    """The gradient of [k, k, 1, C]: one matrix product for each channel.

    Args:
      images: [C, H, W, B].
      side: k.
      cotangent: [C, H', W', B].
      stride: 1 or 2.
    """
    rows, columns = (_band(size, side, stride) for size in images.shape[1:3])
    outputs, inputs = (
        array.reshape(len(array), -1, array.shape[-1]) for array in (cotangent, images)
    )
    products = jnp.einsum(
        "con,cin->coi", outputs, inputs, preferred_element_type=jnp.float32
    )
    products = products.reshape(*cotangent.shape[:3], *images.shape[1:3])
    gradient = jnp.einsum(
        "copij,oir,pjs->rsc", products, *_constants(rows, columns, products)
    )
    return gradient[:, :, None].astype(images.dtype)
