"""Convolutions, each in the form that is right for the platform.

XLA's grouped convolution on the CPU is 17 to 170 times slower than a sum of shifted
multiply-adds, forward and backward; on GPU and TPU the native convolution is right. The
choice falls when the program is lowered. Both forms pad symmetrically by k // 2, as the
reference networks do at stride 2 (`SAME` would align differently).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

from difnas_jax.models.layout import Layout


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
    return jax.lax.platform_dependent(
        images,
        kernel,
        cpu=functools.partial(shifted_conv, stride=stride, layout=layout),
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
    images_gradient = kernel_gradient = None
    if saved.kernel is not None:
        images_gradient = jax.lax.platform_dependent(
            *(saved.kernel, cotangent),
            cpu=lambda kernel, cotangent: _images_gradient(
                saved.images_shape, kernel, cotangent, stride, layout
            ),
            default=lambda kernel, cotangent: _transposed(
                lambda images: native_conv(images, kernel, stride, layout),
                saved.images_shape,
                cotangent,
            ),
        )
    if saved.images is not None:
        kernel_gradient = jax.lax.platform_dependent(
            *(saved.images, cotangent),
            cpu=lambda images, cotangent: _kernel_gradient(
                images, saved.kernel_shape, cotangent, stride, layout
            ),
            default=lambda images, cotangent: _transposed(
                lambda kernel: native_conv(images, kernel, stride, layout),
                saved.kernel_shape,
                cotangent,
            ),
        )
    return images_gradient, kernel_gradient


depthwise_conv.defvjp(_forward, _backward, symbolic_zeros=True)


def _transposed(linear: Any, shape: tuple[int, ...], cotangent: Array) -> Array:
    argument = jax.ShapeDtypeStruct(shape, cotangent.dtype)
    return jax.linear_transpose(linear, argument)(cotangent)[0]


def dense_conv(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """Convolve with a kernel [k, k, C_in, C_out]; see `depthwise_conv`."""
    return jax.lax.platform_dependent(
        images,
        kernel,
        cpu=functools.partial(unfolded_conv, stride=stride, layout=layout),
        default=functools.partial(native_conv, stride=stride, layout=layout),
    )


def native_conv(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """XLA's convolution, in one group or, for kernels [k, k, 1, C], in C groups."""
    pad = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        window_strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        dimension_numbers=layout.convolution,
        feature_group_count=images.shape[layout.channel] // kernel.shape[2],
    )


def shifted_conv(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """The depthwise convolution as k * k shifted multiply-adds."""
    padded = _padded(images, kernel.shape[0] // 2, layout)
    return _correlate(padded, kernel, stride, layout)


def unfolded_conv(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """A dense convolution [k, k, C_in, C_out] as one matrix product over all taps."""
    padded = _padded(images, kernel.shape[0] // 2, layout)
    taps = [tap for _, _, tap in _taps(padded, kernel.shape[0], stride, layout)]
    columns = jnp.concatenate(taps, layout.channel)
    return pointwise_conv(columns, kernel.reshape(-1, kernel.shape[-1]), layout)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def pointwise_conv(images: Array, kernel: Array, layout: Layout) -> Array:
    """A 1x1 convolution [C_in, C_out] as a matrix product."""
    return _product(images, kernel, jax.lax.optimization_barrier(kernel.T), layout)


def _product(images: Array, kernel: Array, transposed: Array, layout: Layout) -> Array:
    """Multiply by the kernel, or by its transposed copy where channels are first.

    The fast products of the CPU are those whose operands lie in memory as they are
    multiplied; a product that transposes on the way is left to a slower routine.
    """
    inputs, outputs = kernel.shape
    if layout.channel == 0:
        product = transposed @ images.reshape(inputs, -1)  # [C, others]
        return product.reshape(outputs, *images.shape[1:])
    product = images.reshape(-1, inputs) @ kernel  # [others, C]
    return product.reshape(*images.shape[:-1], outputs)


def _pointwise_forward(images: Any, kernel: Any, layout: Layout):
    saved = (
        images.value if kernel.perturbed else None,
        kernel.value if images.perturbed else None,
    )
    return pointwise_conv(images.value, kernel.value, layout), saved


def _pointwise_backward(layout: Layout, saved: tuple[Any, Any], cotangent: Any):
    if isinstance(cotangent, SymbolicZero):
        return None, None
    images, kernel = saved
    images_gradient = kernel_gradient = None
    if kernel is not None:
        transposed = jax.lax.optimization_barrier(kernel.T)
        images_gradient = _product(cotangent, transposed, kernel, layout)
    if images is not None:
        kernel_gradient = jnp.tensordot(images, cotangent, (layout.others,) * 2)
    return images_gradient, kernel_gradient


pointwise_conv.defvjp(_pointwise_forward, _pointwise_backward, symbolic_zeros=True)


def _padded(images: Array, pad: int, layout: Layout) -> Array:
    edge = (pad, pad, 0)
    return _pad(images, layout.around(edge, edge, (0, 0, 0)))


def _pad(images: Array, edges: list[tuple]) -> Array:
    padded = jax.lax.pad(images, jnp.zeros((), images.dtype), edges)
    # The taps read memory: without the barrier what made the images is computed again
    # for the taps that meet no edge.
    return jax.lax.optimization_barrier(padded)


def _taps(
    padded: Array, side: int, stride: int, layout: Layout
) -> Iterator[tuple[int, int, Array]]:
    """The input that tap (row, column) of the kernel sees, for each tap."""
    height, width = ((padded.shape[a] - side) // stride for a in layout.spatial)
    for row in range(side):
        for column in range(side):
            rows = slice(row, row + height * stride + 1, stride)
            columns = slice(column, column + width * stride + 1, stride)
            where = layout.around(rows, columns, slice(None))
            yield row, column, padded[tuple(where)]


def _correlate(padded: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    taps = _taps(padded, kernel.shape[0], stride, layout)
    return functools.reduce(
        jnp.add,
        (
            tap * layout.along_channels(kernel[row, column, 0])
            for row, column, tap in taps
        ),
    )


def _images_gradient(
    shape: tuple[int, ...], kernel: Array, cotangent: Array, stride: int, layout: Layout
) -> Array:
    """Correlate the dilated cotangent with the flipped kernel.

    Plain autodiff of the shifts scatters once per tap, which is slow from k = 5 on.
    """
    side = kernel.shape[0]
    low = side - 1 - side // 2
    height, width = (
        (low, shape[a] + low - (cotangent.shape[a] - 1) * stride - 1, stride - 1)
        for a in layout.spatial
    )
    padded = _pad(cotangent, layout.around(height, width, (0, 0, 0)))
    return _correlate(padded, kernel[::-1, ::-1], 1, layout)


@jax.named_scope("depthwise_kernel_gradient")
def _kernel_gradient(
    images: Array, shape: tuple[int, ...], cotangent: Array, stride: int, layout: Layout
) -> Array:
    padded = _padded(images, shape[0] // 2, layout)
    sums = [
        (tap * cotangent).sum(layout.others)
        for _, _, tap in _taps(padded, shape[0], stride, layout)
    ]
    return jnp.stack(sums).reshape(shape)
