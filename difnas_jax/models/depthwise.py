"""Depthwise convolution, with the form that is right for the platform.

XLA's grouped convolution on the CPU is 17 to 170 times slower than a sum of shifted
multiply-adds, forward and backward; on GPU and TPU the native convolution is right. The
choice falls when the program is lowered. Both forms pad symmetrically by k // 2, as the
reference networks do at stride 2 (`SAME` would align differently).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import Array


def depthwise_conv(images: Array, kernel: Array, stride: int) -> Array:
    """Convolve every channel with its own filter.

    Args:
      images: [B, H, W, C].
      kernel: [k, k, 1, C], k odd.
      stride: 1 or 2.

    Returns:
      [B, ceil(H / stride), ceil(W / stride), C].
    """
    return jax.lax.platform_dependent(
        images,
        kernel,
        cpu=lambda images, kernel: shifted_conv(images, kernel, stride),
        default=lambda images, kernel: native_conv(images, kernel, stride),
    )


def native_conv(images: Array, kernel: Array, stride: int) -> Array:
    """The depthwise convolution as XLA's grouped convolution."""
    pad = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        window_strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=images.shape[-1],
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def shifted_conv(images: Array, kernel: Array, stride: int) -> Array:
    """The depthwise convolution as k * k shifted multiply-adds."""
    return _correlate(_pad(images, kernel.shape[0] // 2), kernel, stride)


def _forward(images: Array, kernel: Array, stride: int):
    return shifted_conv(images, kernel, stride), (images, kernel)


def _backward(stride: int, saved: tuple[Array, Array], cotangent: Array):
    images, kernel = saved
    return (
        _input_gradient(images.shape[1:3], kernel, cotangent, stride),
        _kernel_gradient(images, kernel, cotangent, stride),
    )


shifted_conv.defvjp(_forward, _backward)


def _pad(images: Array, pad: int) -> Array:
    return jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))


def _taps(padded: Array, side: int, stride: int):
    """The input that tap (row, column) of the kernel sees, for each tap."""
    height = (padded.shape[1] - side) // stride + 1
    width = (padded.shape[2] - side) // stride + 1
    for row in range(side):
        for column in range(side):
            yield (
                row,
                column,
                padded[
                    :,
                    row : row + (height - 1) * stride + 1 : stride,
                    column : column + (width - 1) * stride + 1 : stride,
                ],
            )


def _correlate(padded: Array, kernel: Array, stride: int) -> Array:
    taps = _taps(padded, kernel.shape[0], stride)
    return functools.reduce(
        jnp.add, (tap * kernel[row, column] for row, column, tap in taps)
    )


def _input_gradient(
    size: tuple[int, ...], kernel: Array, cotangent: Array, stride: int
) -> Array:
    """Correlate the dilated cotangent with the flipped kernel.

    Plain autodiff of the shifts scatters once per tap, which is slow from k = 5 on.
    """
    side = kernel.shape[0]
    low = side - 1 - side // 2
    edges = [
        (low, full + low - (out - 1) * stride - 1, stride - 1)
        for full, out in zip(size, cotangent.shape[1:3], strict=True)
    ]
    zero = jnp.zeros((), cotangent.dtype)
    padded = jax.lax.pad(cotangent, zero, ((0, 0, 0), *edges, (0, 0, 0)))
    return _correlate(padded, kernel[::-1, ::-1], 1)


@jax.named_scope("depthwise_kernel_gradient")
def _kernel_gradient(
    images: Array, kernel: Array, cotangent: Array, stride: int
) -> Array:
    side = kernel.shape[0]
    taps = _taps(_pad(images, side // 2), side, stride)
    sums = [(tap * cotangent).sum((0, 1, 2)) for _, _, tap in taps]
    return jnp.stack(sums).reshape(kernel.shape)
