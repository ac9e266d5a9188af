"""Multiply-adds and parameters, counted analytically by `COUNTING_RULE`.

Published totals differ in one term only, the classifier. Those of SPOS-style code bases
count (2 * in - 1) * out: pass `linear="multiplies_and_adds"` to reproduce them. Those
of NAS-Bench-201 count its bias: `linear="macs_and_bias"`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from difnas_jax.spaces.base import Op, SearchSpace
from difnas_jax.spaces.block_costs import BLOCK_COSTS, Cost, conv_bn, total
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.image import strided

MACS, PARAMS = "macs", "params"  # names of the costs that are counted

COUNTING_RULE = """\
The rule: one MAC is one multiply-add of a convolution or of the classifier
(k * k * C_in / groups * C_out * H_out * W_out, and in * out). Batch norm, activations,
pooling, additions and biases count 0, and so does an identity that keeps the shape.
Parameters are all that a retrained network trains: kernels, batch-norm scale and bias,
classifier bias."""

LINEAR_RULES: dict[str, Callable[[int, int], int]] = {
    "macs": lambda inputs, outputs: inputs * outputs,
    "macs_and_bias": lambda inputs, outputs: (inputs + 1) * outputs,
    "multiplies_and_adds": lambda inputs, outputs: (2 * inputs - 1) * outputs,
}


@dataclasses.dataclass(frozen=True)
class CostTable:
    """What a space costs, op by op; every cost is a sum over the layers.

    Attributes:
      tables: int64[L, O] by name of the cost, such as `macs` and `params`; 0 where an
        op is not allowed (see `space.allowed`).
      fixed: by name, what every architecture has: stem, fixed blocks, head and
        classifier.
    """

    tables: dict[str, np.ndarray]
    fixed: dict[str, int]

    def of(self, architectures: np.ndarray) -> dict[str, np.ndarray]:
        """The costs of many architectures.

        Args:
          architectures: int[..., L].

        Returns:
          int64[...] by name of the cost.
        """
        chosen = np.arange(np.shape(architectures)[-1]), np.asarray(architectures)
        return {
            name: table[chosen].sum(-1) + self.fixed[name]
            for name, table in self.tables.items()
        }


def cost_table(space: SearchSpace, *, linear: str = "macs") -> CostTable:
    """Count the MACs and parameters of a space.

    Args:
      space: the search space.
      linear: how the classifier counts, a key of `LINEAR_RULES`.
    """
    counts = np.zeros((2, space.num_layers, space.num_ops), np.int64)
    for index, layer in enumerate(space.layers):
        for op in layer.ops:
            counts[:, index, op] = _op_cost(space, index, space.ops[op])
    macs, params = _fixed_cost(space, linear)
    tables = {MACS: counts[0], PARAMS: counts[1]}
    return CostTable(tables, {MACS: macs, PARAMS: params})


def supernet_params(space: SearchSpace) -> int:
    """Parameters of all candidates together, without layer-indicator batch norms."""
    table = cost_table(space)
    return int(table.tables[PARAMS].sum()) + table.fixed[PARAMS]


@functools.singledispatch
def _op_cost(space: SearchSpace, index: int, op: Op) -> Cost:
    """What an op costs in layer `index`."""
    raise NotImplementedError(type(space))


@functools.singledispatch
def _fixed_cost(space: SearchSpace, linear: str) -> Cost:
    """What every architecture has."""
    raise NotImplementedError(type(space))


@_op_cost.register
def _(space: ChainSpace, index: int, op: Op) -> Cost:
    layer, size = space.layers[index], space.layer_sizes[index]
    shape = layer.in_channels, layer.out_channels, size, layer.stride
    return BLOCK_COSTS[op.kind](op, *shape)


@_fixed_cost.register
def _(space: ChainSpace, linear: str) -> Cost:
    size = strided(space.image_size, space.stem_stride)
    parts = [conv_bn(3, space.image_channels, space.stem_channels, size)]
    for block in space.fixed:
        shape = block.in_channels, block.out_channels, size, block.stride
        parts.append(BLOCK_COSTS[block.op.kind](block.op, *shape))
        size = strided(size, block.stride)
    last = space.layers[-1].out_channels
    parts.append(conv_bn(1, last, space.head_channels, space.layer_sizes[-1]))
    bias = space.classifier_bias
    parts.append(_classifier(space.head_channels, space.num_classes, linear, bias))
    return total(parts)


@_op_cost.register
def _(space: CellSpace, index: int, op: Op) -> Cost:
    stages = zip(space.channels, space.stage_sizes, strict=True)
    cost = BLOCK_COSTS[op.kind]
    macs, params = total([cost(op, width, width, size, 1) for width, size in stages])
    return space.cells * macs, space.cells * params


@_fixed_cost.register
def _(space: CellSpace, linear: str) -> Cost:
    widths, sizes = space.channels, space.stage_sizes
    parts = [conv_bn(3, space.image_channels, widths[0], sizes[0])]
    for before, after, size in zip(widths, widths[1:], sizes[1:], strict=False):
        parts.append(conv_bn(3, before, after, size))
        parts.append(conv_bn(3, after, after, size))
        parts.append((before * after * size**2, before * after))  # has no batch norm
    parts.append((0, 2 * widths[-1]))  # the last batch norm
    parts.append(_classifier(widths[-1], space.num_classes, linear, bias=True))
    return total(parts)


def _classifier(inputs: int, outputs: int, linear: str, bias: bool) -> Cost:
    return LINEAR_RULES[linear](inputs, outputs), (inputs + bias) * outputs
