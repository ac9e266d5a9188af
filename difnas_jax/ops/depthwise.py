"""Depthwise convolutions, each in the form that is right for the platform.

XLA's grouped convolution on the CPU is 17 to 170 times slower than a sum of shifted
multiply-adds, forward and backward; on GPU and TPU the native convolution is right. The
choice falls when the program is lowered. Where the batch is last, the CPU also takes
matrix products with band matrices (see `banded`).
"""

import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

from difnas_jax.ops.banded import (
    banded_conv,
    banded_images_gradient,
    banded_kernel_gradient,
)
from difnas_jax.ops.convolutions import native_conv, pad_edges, padded_by, taps_of
from difnas_jax.ops.layout import Layout


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise_conv(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """Convolve every channel with its own filter.

    Args:
      images: a feature map of height H and width W.
      kernel: [k, k, 1, C], k odd.
      stride: 1 or 2.
      layout: of the images.

    Returns:
      A feature map of height ceil(H / stride) and width ceil(W / stride).
    """
    if _bands_pay(images.shape, kernel.shape[0], layout):
        on_cpu = functools.partial(banded_conv, stride=stride)
    else:
        on_cpu = functools.partial(shifted_conv, stride=stride, layout=layout)
    return jax.lax.platform_dependent(
        images,
        kernel,
        cpu=on_cpu,
        default=functools.partial(native_conv, stride=stride, layout=layout),
    )


class _Saved(flax.struct.PyTreeNode):
    """What the backward pass needs: each input only if the other one trains."""

    images: Array | None
    kernel: Array | None
    images_shape: tuple[int, ...] = flax.struct.field(pytree_node=False)
    kernel_shape: tuple[int, ...] = flax.struct.field(pytree_node=False)


def _forward(images: Any, kernel: Any, stride: int, layout: Layout):
    saved = _Saved(
        images.value if kernel.perturbed else None,
        kernel.value if images.perturbed else None,
        images.value.shape,
        kernel.value.shape,
    )
    return depthwise_conv(images.value, kernel.value, stride, layout), saved


def _backward(stride: int, layout: Layout, saved: _Saved, cotangent: Any):
    if isinstance(cotangent, SymbolicZero):
        return None, None
    conv = functools.partial(native_conv, stride=stride, layout=layout)
    images_gradient = kernel_gradient = None
    if saved.kernel is not None:
        images_gradient = jax.lax.platform_dependent(
            saved.kernel,
            cotangent,
            cpu=lambda kernel, cotangent: _images_gradient(
                saved.images_shape, kernel, cotangent, stride, layout
            ),
            default=lambda kernel, cotangent: _transposed(
                lambda images: conv(images, kernel), saved.images_shape, cotangent
            ),
        )
    if saved.images is not None:
        kernel_gradient = jax.lax.platform_dependent(
            saved.images,
            cotangent,
            cpu=lambda images, cotangent: _kernel_gradient(
                images, saved.kernel_shape, cotangent, stride, layout
            ),
            default=lambda images, cotangent: _transposed(
                lambda kernel: conv(images, kernel), saved.kernel_shape, cotangent
            ),
        )
    return images_gradient, kernel_gradient


depthwise_conv.defvjp(_forward, _backward, symbolic_zeros=True)


def _transposed(linear: Any, shape: tuple[int, ...], cotangent: Array) -> Array:
    argument = jax.ShapeDtypeStruct(shape, cotangent.dtype)
    return jax.linear_transpose(linear, argument)(cotangent)[0]


def shifted_conv(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """The depthwise convolution as k * k shifted multiply-adds."""
    padded = padded_by(images, kernel.shape[0] // 2, layout)
    return _correlate(padded, kernel, stride, layout)


def _correlate(padded: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    products = (
        tap * layout.along_channels(kernel[row, column, 0])
        for row, column, tap in taps_of(padded, kernel.shape[0], stride, layout)
    )
    return functools.reduce(jnp.add, products)


def _bands_pay(shape: tuple[int, ...], side: int, layout: Layout) -> bool:
    """Whether the band is cheaper than the taps: the map is smaller than the kernel."""
    height, width = (shape[axis] for axis in layout.spatial)
    return layout.channel == 0 and height * width < side**2


def _images_gradient(
    shape: tuple[int, ...], kernel: Array, cotangent: Array, stride: int, layout: Layout
) -> Array:
    side = kernel.shape[0]
    if _bands_pay(shape, side, layout):
        return banded_images_gradient(shape, kernel, cotangent, stride)
    # Correlate the dilated cotangent with the flipped kernel: plain autodiff of the
    # shifts scatters once per tap, which is slow from k = 5 on.
    low = side - 1 - side // 2
    height, width = (
        (low, shape[a] + low - (cotangent.shape[a] - 1) * stride - 1, stride - 1)
        for a in layout.spatial
    )
    padded = pad_edges(cotangent, layout.around(height, width, (0, 0, 0)))
    return _correlate(padded, kernel[::-1, ::-1], 1, layout)


@jax.named_scope("depthwise_kernel_gradient")
def _kernel_gradient(
    images: Array, shape: tuple[int, ...], cotangent: Array, stride: int, layout: Layout
) -> Array:
    if layout.channel == 0:
        return banded_kernel_gradient(images, shape[0], cotangent, stride)
    padded = padded_by(images, shape[0] // 2, layout)
    sums = [
        (tap * cotangent).sum(layout.others)
        for _, _, tap in taps_of(padded, shape[0], stride, layout)
    ]
    return jnp.stack(sums).reshape(shape)
