"""Convolutions, each in the form that is right for the platform.

On GPU and TPU the native convolution is right for kernels that train. On the CPU sums
and matrix products are: there, XLA's grouped convolution is 17 to 170 times slower than
a sum of shifted multiply-adds (see `shifted`), forward and backward; where the batch is
last, the CPU also takes matrix products with band matrices (see `banded`). The choice
falls when the program is lowered. Of a frozen kernel an NVIDIA GPU takes kernels of our
own (see `depthwise_kernels`) and matrix products, so that XLA has no convolution whose
algorithms it would time for minutes.

All forms pad symmetrically by k // 2, as the reference networks do at stride 2 (`SAME`
would align differently).
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

from difnas_jax.ops import banded, shifted
from difnas_jax.ops.layout import Layout
from difnas_jax.runtime.compilation import has_triton


def dense_conv(
    images: Array, kernel: Array, stride: int, layout: Layout, frozen: bool = False
) -> Array:
    """Convolve all channels with each other.

    Args:
      images: a feature map of height H and width W.
      kernel: [k, k, C_in, C_out], k odd.
      stride: 1 or 2.
      layout: of the images.
      frozen: no gradient of the kernel is wanted.

    Returns:
      A feature map of height ceil(H / stride) and width ceil(W / stride).
    """
    if frozen and has_triton():
        return unfolded_conv(images, kernel, stride, layout)
    return _by_platform(unfolded_conv, images, kernel, stride, layout)


def _by_platform(
    on_cpu: Callable, images: Array, kernel: Array, stride: int, layout: Layout
) -> Array:
    """`on_cpu` on the CPU, XLA's convolution elsewhere."""
    options = {"stride": stride, "layout": layout}
    cpu = functools.partial(on_cpu, **options)
    default = functools.partial(native_conv, **options)
    return jax.lax.platform_dependent(images, kernel, cpu=cpu, default=default)


def native_conv(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """XLA's convolution, in one group or, for kernels [k, k, 1, C], in C groups."""
    pad, dims = kernel.shape[0] // 2, layout.dims.replace("B", "N")
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        window_strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        dimension_numbers=(dims, "HWIO", dims),
        feature_group_count=images.shape[layout.channel] // kernel.shape[2],
    )


def unfolded_conv(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    """A dense convolution [k, k, C_in, C_out] as one matrix product over all taps."""
    padded = shifted.padded_by(images, kernel.shape[0] // 2, layout)
    rows = shifted.taps(padded, kernel.shape[:2], stride, layout)
    columns = jnp.concatenate([tap for row in rows for tap in row], layout.channel)
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


def _product_images_gradient(_, kernel: Array, cotangent: Array, layout: Layout):
    return _product(cotangent, jax.lax.optimization_barrier(kernel.T), kernel, layout)


def _product_kernel_gradient(images: Array, _, cotangent: Array, layout: Layout):
    channels = (array.shape[layout.channel] for array in (images, cotangent))
    if layout.channel or operator.ge(*channels):
        return jnp.tensordot(images, cotangent, (layout.others,) * 2)
    # The CPU transposes a copy of the second operand: it should be the smaller one.
    # Without the barrier XLA turns the product back.
    product = jnp.tensordot(cotangent, images, (layout.others,) * 2)
    return jax.lax.optimization_barrier(product).T


def depthwise_conv(
    images: Array, kernel: Array, stride: int, layout: Layout, frozen: bool = False
) -> Array:
    """Convolve every channel with its own filter.

    Args:
      images: a feature map of height H and width W.
      kernel: [k, k, 1, C], k odd and 3 or more.
      stride: 1 or 2.
      layout: of the images.
      frozen: no gradient of the kernel is wanted.

    Returns:
      A feature map of height ceil(H / stride) and width ceil(W / stride).
    """
    if frozen and has_triton():
        # JAX will remove the backend of these kernels one day: not for all to import.
        from difnas_jax.ops import depthwise_kernels

        if depthwise_kernels.take(images.shape, layout):
            return depthwise_kernels.convolve(images, kernel, stride)
    return _depthwise(images, kernel, stride, layout)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise(images: Array, kernel: Array, stride: int, layout: Layout) -> Array:
    return _by_platform(_depthwise_on_cpu, images, kernel, stride, layout)


def _depthwise_on_cpu(images: Array, kernel: Array, stride: int, layout: Layout):
    """Matrix products where the map is small, else shifted multiply-adds."""
    if banded.pays(images.shape, kernel.shape[0], layout):
        return banded.convolve(images, kernel, stride)
    return shifted.convolve(images, kernel, stride, layout)


def _images_gradient(
    shape: tuple[int, ...], kernel: Array, cotangent: Array, stride: int, layout: Layout
) -> Array:
    def on_cpu(kernel: Array, cotangent: Array) -> Array:
        if banded.pays(shape, kernel.shape[0], layout):
            return banded.images_gradient(shape, kernel, cotangent, stride)
        return shifted.images_gradient(shape, kernel, cotangent, stride, layout)

    def native(kernel: Array, cotangent: Array) -> Array:
        options = {"kernel": kernel, "stride": stride, "layout": layout}
        conv = functools.partial(native_conv, **options)
        return _transposed(conv, shape, cotangent)

    return jax.lax.platform_dependent(kernel, cotangent, cpu=on_cpu, default=native)


def _kernel_gradient(
    images: Array, shape: tuple[int, ...], cotangent: Array, stride: int, layout: Layout
) -> Array:
    @jax.named_scope("depthwise_kernel_gradient")
    def on_cpu(images: Array, cotangent: Array) -> Array:
        if banded.pays_for_kernels(cotangent.shape, layout):
            return banded.kernel_gradient(images, shape[0], cotangent, stride)
        return shifted.kernel_gradient(images, shape[0], cotangent, stride, layout)

    def native(images: Array, cotangent: Array) -> Array:
        conv = functools.partial(native_conv, images, stride=stride, layout=layout)
        return _transposed(conv, shape, cotangent)

    return jax.lax.platform_dependent(images, cotangent, cpu=on_cpu, default=native)


def _transposed(linear: Any, shape: tuple[int, ...], cotangent: Array) -> Array:
    argument = jax.ShapeDtypeStruct(shape, cotangent.dtype)
    return jax.linear_transpose(linear, argument)(cotangent)[0]


class _Saved(flax.struct.PyTreeNode):
    """What the backward pass needs: each input only if the other one trains."""

    images: Array | None
    kernel: Array | None
    shapes: tuple[tuple[int, ...], ...] = flax.struct.field(pytree_node=False)


def _define_gradients(conv: Any, images_gradient: Any, kernel_gradient: Any) -> None:
    """Give `conv(images, kernel, *options)` a backward pass.

    Args:
      conv: a `jax.custom_vjp` function, linear in images and in kernel.
      images_gradient: of (shape of the images, kernel, cotangent, *options).
      kernel_gradient: of (images, shape of the kernel, cotangent, *options).
    """

    def forward(images: Any, kernel: Any, *options: Any):
        saved = _Saved(
            images.value if kernel.perturbed else None,
            kernel.value if images.perturbed else None,
            (images.value.shape, kernel.value.shape),
        )
        return conv(images.value, kernel.value, *options), saved

    def backward(*arguments: Any):
        *options, saved, cotangent = arguments
        of_images = of_kernel = None
        if isinstance(cotangent, SymbolicZero):
            return of_images, of_kernel
        options = cotangent, *options
        if saved.kernel is not None:
            of_images = images_gradient(saved.shapes[0], saved.kernel, *options)
        if saved.images is not None:
            of_kernel = kernel_gradient(saved.images, saved.shapes[1], *options)
        return of_images, of_kernel

    conv.defvjp(forward, backward, symbolic_zeros=True)


_define_gradients(pointwise_conv, _product_images_gradient, _product_kernel_gradient)
_define_gradients(_depthwise, _images_gradient, _kernel_gradient)
