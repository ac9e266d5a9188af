"""Multiply-adds and parameters, counted analytically.

The rule: one MAC is one multiply-add of a convolution or of the classifier
(k * k * C_in / groups * C_out * H_out * W_out, and in * out). Batch norm, activations,
pooling, additions and biases count 0, and so does identity. Parameters are all that
a retrained network trains: kernels, batch-norm scale and bias, classifier bias.

The published totals of SPOS-style code bases differ in one term only: their Linear
rule counts (2 * in - 1) * out. Pass `linear="multiplies_and_adds"` to reproduce them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from difnas_jax.spaces.base import Op, SearchSpace, strided

LINEAR_RULES: dict[str, Callable[[int, int], int]] = {
    "macs": lambda inputs, outputs: inputs * outputs,
    "multiplies_and_adds": lambda inputs, outputs: (2 * inputs - 1) * outputs,
}


def conv_bn(
    kernel: int, in_channels: int, out_channels: int, size: int, groups: int = 1
) -> tuple[int, int]:
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
) -> tuple[int, int]:
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
    macs, params = zip(*parts, strict=True)
    return sum(macs), sum(params)


def identity(
    op: Op, in_channels: int, out_channels: int, size: int, stride: int
) -> tuple[int, int]:
    """(0, 0): the found network drops the layer."""
    return 0, 0


BLOCK_COSTS: dict[str, Callable[[Op, int, int, int, int], tuple[int, int]]] = {
    "identity": identity,
    "inverted_residual": inverted_residual,
}


@dataclasses.dataclass(frozen=True)
class CostTable:
    """What a space costs, op by op.

    Attributes:
      macs, params: int64[L, O]; 0 where an op is not allowed (see `space.allowed`).
      fixed_macs, fixed_params: what every architecture has: stem, fixed blocks, head
        and classifier.
    """

    macs: np.ndarray
    params: np.ndarray
    fixed_macs: int
    fixed_params: int

    def of(self, architectures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """MACs and parameters of many architectures.

        Args:
          architectures: int[..., L].

        Returns:
          int64[...] MACs and int64[...] parameters.
        """
        layers = np.arange(self.macs.shape[0])
        chosen = layers, np.asarray(architectures)
        return (
            self.macs[chosen].sum(-1) + self.fixed_macs,
            self.params[chosen].sum(-1) + self.fixed_params,
        )


def cost_table(space: SearchSpace, *, linear: str = "macs") -> CostTable:
    """Count a space.

    Args:
      space: the search space.
      linear: how the classifier counts, a key of `LINEAR_RULES`.
    """
    macs = np.zeros((space.num_layers, space.num_ops), np.int64)
    params = np.zeros_like(macs)
    for index, layer in enumerate(space.layers):
        for op in layer.ops:
            macs[index, op], params[index, op] = BLOCK_COSTS[space.ops[op].kind](
                space.ops[op],
                layer.in_channels,
                layer.out_channels,
                space.layer_sizes[index],
                layer.stride,
            )
    fixed_macs, fixed_params = zip(*_fixed_parts(space, linear), strict=True)
    return CostTable(macs, params, sum(fixed_macs), sum(fixed_params))


def supernet_params(space: SearchSpace) -> int:
    """Parameters of all candidates together, without layer-indicator batch norms."""
    table = cost_table(space)
    return int(table.params.sum()) + table.fixed_params


def _fixed_parts(space: SearchSpace, linear: str) -> list[tuple[int, int]]:
    size = strided(space.image_size, space.stem_stride)
    parts = [conv_bn(3, space.image_channels, space.stem_channels, size)]
    for block in space.fixed:
        parts.append(
            BLOCK_COSTS[block.op.kind](
                block.op, block.in_channels, block.out_channels, size, block.stride
            )
        )
        size = strided(size, block.stride)
    last = space.layers[-1].out_channels
    parts.append(conv_bn(1, last, space.head_channels, space.layer_sizes[-1]))
    classifier = space.head_channels, space.num_classes
    parts.append(
        (LINEAR_RULES[linear](*classifier), (classifier[0] + 1) * classifier[1])
    )
    return parts
