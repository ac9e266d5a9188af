"""What one block costs: (multiply-adds, parameters), by the rule of `costs`."""

from __future__ import annotations

from collections.abc import Callable

from difnas_jax.spaces.base import Op
from difnas_jax.spaces.image import strided

Cost = tuple[int, int]  # (MACs, parameters)


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


def inverted_residual(
    op: Op, in_channels: int, out_channels: int, size: int, stride: int
) -> Cost:
    """(MACs, parameters) of 1x1 expansion, depthwise k x k, 1x1 projection.

    With expansion 1 there is no expanding convolution. `size` is the side of the input.
    """
    hidden = in_channels * op.expansion
    out_size = strided(size, stride)
    parts = [
        conv_bn(op.kernel, hidden, hidden, out_size, groups=hidden),
        conv_bn(1, hidden, out_channels, out_size),
    ]
    if op.expansion > 1:
        parts.append(conv_bn(1, in_channels, hidden, size))
    return total(parts)


def shuffle(
    op: Op, in_channels: int, out_channels: int, size: int, stride: int
) -> Cost:
    """(MACs, parameters) of the ShuffleNetV2 block: 1x1, depthwise k x k, 1x1."""
    branch, hidden, outputs = _shuffle_widths(in_channels, out_channels, stride)
    expand = conv_bn(1, branch, hidden, size)
    main = _separable(op.kernel, hidden, outputs, size, stride)
    beside = _shuffle_projection(op, in_channels, out_channels, size, stride)
    return total([expand, main, beside])


def xception(
    op: Op, in_channels: int, out_channels: int, size: int, stride: int
) -> Cost:
    """(MACs, parameters) of the ShuffleNetV2 block with three depthwise k x k, 1x1."""
    branch, hidden, outputs = _shuffle_widths(in_channels, out_channels, stride)
    out_size = strided(size, stride)
    parts = [
        _separable(op.kernel, branch, hidden, size, stride),
        _separable(op.kernel, hidden, hidden, out_size, 1),
        _separable(op.kernel, hidden, outputs, out_size, 1),
        _shuffle_projection(op, in_channels, out_channels, size, stride),
    ]
    return total(parts)


def _shuffle_widths(
    in_channels: int, out_channels: int, stride: int
) -> tuple[int, int, int]:
    """Channels into, inside and out of the main branch."""
    splits = stride == 1 and in_channels == out_channels
    branch = in_channels // 2 if splits else in_channels
    return branch, out_channels // 2, out_channels - branch


def _shuffle_projection(
    op: Op, in_channels: int, out_channels: int, size: int, stride: int
) -> Cost:
    if stride == 1 and in_channels == out_channels:
        return 0, 0  # the untouched half
    return _separable(op.kernel, in_channels, in_channels, size, stride)


def _separable(
    kernel: int, in_channels: int, out_channels: int, size: int, stride: int
) -> Cost:
    """Depthwise k x k and 1x1; `size` is the side of the input."""
    size = strided(size, stride)
    depthwise = conv_bn(kernel, in_channels, in_channels, size, groups=in_channels)
    return total([depthwise, conv_bn(1, in_channels, out_channels, size)])


def relu_conv(
    op: Op, in_channels: int, out_channels: int, size: int, stride: int
) -> Cost:
    """(MACs, parameters) of one k x k convolution with batch norm."""
    return conv_bn(op.kernel, in_channels, out_channels, strided(size, stride))


def identity(
    op: Op, in_channels: int, out_channels: int, size: int, stride: int
) -> Cost:
    """(0, 0) where the shape is kept, else those of a strided 1x1 convolution."""
    if stride == 1 and in_channels == out_channels:
        return 0, 0
    return conv_bn(1, in_channels, out_channels, strided(size, stride))


def nothing(
    op: Op, in_channels: int, out_channels: int, size: int, stride: int
) -> Cost:
    """(0, 0): pooling and zero."""
    return 0, 0


def total(parts: list[Cost]) -> Cost:
    """The sum of some costs."""
    macs, params = zip(*parts, strict=True)
    return sum(macs), sum(params)


BLOCK_COSTS: dict[str, Callable[[Op, int, int, int, int], Cost]] = {
    "avg_pool": nothing,
    "identity": identity,
    "inverted_residual": inverted_residual,
    "relu_conv": relu_conv,
    "shuffle": shuffle,
    "xception": xception,
    "zero": nothing,
}
