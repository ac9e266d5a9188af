"""What one block costs: (multiply-adds, parameters), by `costs.COUNTING_RULE`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from difnas_jax.spaces.base import Op
from difnas_jax.spaces.image import Shape, strided

Cost = tuple[int, int]  # (MACs, parameters)

# The multiply-adds of a classifier with so many inputs and outputs.
LINEAR_RULES: dict[str, Callable[[int, int], int]] = {
    "macs": lambda inputs, outputs: inputs * outputs,
    "macs_and_bias": lambda inputs, outputs: (inputs + 1) * outputs,
    "multiplies_and_adds": lambda inputs, outputs: (2 * inputs - 1) * outputs,
}


def classifier(inputs: int, outputs: int, linear: str, *, bias: bool) -> Cost:
    """(MACs, parameters) of a linear layer, counted by one of `LINEAR_RULES`."""
    return LINEAR_RULES[linear](inputs, outputs), (inputs + bias) * outputs


def conv_bn(
    kernel: int, in_channels: int, out_channels: int, size: int, groups: int = 1
) -> Cost:
    """(MACs, parameters) of a bias-free convolution with batch norm.

    Args:
      kernel: side of the kernel.
      in_channels: channels before.
      out_channels: channels after.
      size: side of the output in pixels.
      groups: number of groups; equal to the channels for a depthwise convolution.
    """
    weights = kernel * kernel * in_channels // groups * out_channels
    return weights * size * size, weights + 2 * out_channels


def inverted_residual(op: Op, shape: Shape, size: int) -> Cost:
    """(MACs, parameters) of 1x1 expansion, depthwise k x k, 1x1 projection.

    With expansion 1 there is no expanding convolution. `size` is the side of the input.
    """
    hidden = shape.in_channels * op.expansion
    main = _separable(op.kernel, hidden, shape.out_channels, size, shape.stride)
    if op.expansion == 1:
        return main
    return total([conv_bn(1, shape.in_channels, hidden, size), main])


def shuffle(op: Op, shape: Shape, size: int) -> Cost:
    """(MACs, parameters) of the ShuffleNetV2 block: 1x1, depthwise k x k, 1x1."""
    branch, hidden, outputs = _shuffle_widths(shape)
    expand = conv_bn(1, branch, hidden, size)
    main = _separable(op.kernel, hidden, outputs, size, shape.stride)
    return total([expand, main, _shuffle_projection(op, shape, size)])


def xception(op: Op, shape: Shape, size: int) -> Cost:
    """(MACs, parameters) of the ShuffleNetV2 block with three depthwise k x k, 1x1."""
    branch, hidden, outputs = _shuffle_widths(shape)
    out_size = strided(size, shape.stride)
    parts = [
        _separable(op.kernel, branch, hidden, size, shape.stride),
        _separable(op.kernel, hidden, hidden, out_size, 1),
        _separable(op.kernel, hidden, outputs, out_size, 1),
        _shuffle_projection(op, shape, size),
    ]
    return total(parts)


def _shuffle_widths(shape: Shape) -> tuple[int, int, int]:
    """Channels into, inside and out of the main branch."""
    branch = shape.in_channels // 2 if shape.is_normal else shape.in_channels
    return branch, shape.out_channels // 2, shape.out_channels - branch


def _shuffle_projection(op: Op, shape: Shape, size: int) -> Cost:
    if shape.is_normal:
        return 0, 0  # the untouched half
    return _separable(
        op.kernel, shape.in_channels, shape.in_channels, size, shape.stride
    )


def _separable(
    kernel: int, in_channels: int, out_channels: int, size: int, stride: int
) -> Cost:
    """Depthwise k x k and 1x1; `size` is the side of the input."""
    size = strided(size, stride)
    depthwise = conv_bn(kernel, in_channels, in_channels, size, groups=in_channels)
    return total([depthwise, conv_bn(1, in_channels, out_channels, size)])


def relu_conv(op: Op, shape: Shape, size: int) -> Cost:
    """(MACs, parameters) of one k x k convolution with batch norm."""
    out_size = strided(size, shape.stride)
    return conv_bn(op.kernel, shape.in_channels, shape.out_channels, out_size)


def identity(op: Op, shape: Shape, size: int) -> Cost:
    """(0, 0) where the shape is kept, else those of a strided 1x1 convolution."""
    return (0, 0) if shape.is_normal else relu_conv(op, shape, size)


def free(op: Op, shape: Shape, size: int) -> Cost:
    """(0, 0), for pooling and zero."""
    return 0, 0


def total(parts: Iterable[Cost]) -> Cost:
    """The sum of some costs."""
    macs, params = zip(*parts, strict=True)
    return sum(macs), sum(params)


# (op, shape of the block, side of its input in pixels) -> cost
BLOCK_COSTS: dict[str, Callable[[Op, Shape, int], Cost]] = {
    "avg_pool": free,
    "identity": identity,
    "inverted_residual": inverted_residual,
    "relu_conv": relu_conv,
    "shuffle": shuffle,
    "xception": xception,
    "zero": free,
}
