"""Dense and 1x1 convolutions, each in the form that is right for the platform.

On GPU and TPU the native convolution is right, on the CPU sums and matrix products are
(see `depthwise` for the depthwise ones). The choice falls when the program is lowered.
Both forms pad symmetrically by k // 2, as the reference networks do at stride 2 (`SAME`
would align differently).
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

from difnas_jax.ops.layout import Layout


def dense_conv(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """Convolve with a kernel [k, k, C_in, C_out], k odd.

    Args:
      images: a feature map of height H and width W.
      kernel: [k, k, C_in, C_out].
      stride: 1 or 2.
      layout: of the images.

    Returns:
      A feature map of height ceil(H / stride) and width ceil(W / stride).
    """
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


def unfolded_conv(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """A dense convolution [k, k, C_in, C_out] as one matrix product over all taps."""
    padded = padded_by(images, kernel.shape[0] // 2, layout)
    taps = [tap for _, _, tap in taps_of(padded, kernel.shape[0], stride, layout)]
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


def padded_by(images: Array, pad: int, layout: Layout) -> Array:
    """Zeros around height and width, in memory of its own."""
    edge = (pad, pad, 0)
    return pad_edges(images, layout.around(edge, edge, (0, 0, 0)))


def pad_edges(images: Array, edges: list[tuple]) -> Array:
    """Zeros as `jax.lax.pad` takes them, in memory of its own."""
    padded = jax.lax.pad(images, jnp.zeros((), images.dtype), edges)
    # The taps read memory: without the barrier what made the images is computed again
    # for the taps that meet no edge.
    return jax.lax.optimization_barrier(padded)


def taps_of(
    padded: Array, side: int, stride: int, layout: Layout
) -> Iterator[tuple[int, int, Array]]:
    """The input that tap (row, column) of a kernel sees, for each tap."""
    height, width = ((padded.shape[a] - side) // stride for a in layout.spatial)
    for row in range(side):
        for column in range(side):
            rows = slice(row, row + height * stride + 1, stride)
            columns = slice(column, column + width * stride + 1, stride)
            where = layout.around(rows, columns, slice(None))
            yield row, column, padded[tuple(where)]
