"""Multiply-adds and parameters, counted analytically by `COUNTING_RULE`.

Published totals differ in one term only, the classifier. Those of SPOS-style code bases
count (2 * in - 1) * out: pass `linear="multiplies_and_adds"` to reproduce them. Those
of NAS-Bench-201 count its bias: `linear="macs_and_bias"`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from difnas_jax.spaces.base import SearchSpace

MACS, PARAMS = "macs", "params"  # names of the costs that are counted

COUNTING_RULE = """\
The rule: one MAC is one multiply-add of a convolution or of the classifier
(k * k * C_in / groups * C_out * H_out * W_out, and in * out). Batch norm, activations,
pooling, additions and biases count 0, and so does an identity that keeps the shape.
Parameters are all that a retrained network trains: kernels, batch-norm scale and bias,
classifier bias."""


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

    def of_one(self, architecture: Sequence[int]) -> dict[str, int]:
        """The costs of one architecture as Python integers."""
        costs = self.of(np.asarray(architecture))
        return {name: int(cost) for name, cost in costs.items()}


def cost_table(space: SearchSpace, *, linear: str = "macs") -> CostTable:
    """Count the MACs and parameters of a space.

    Args:
      space: the search space.
      linear: how the classifier counts, a key of `block_costs.LINEAR_RULES`.
    """
    counts = np.zeros((2, space.num_layers, space.num_ops), np.int64)
    for index, layer in enumerate(space.layers):
        for op in layer.ops:
            counts[:, index, op] = space.op_cost(index, space.ops[op])
    macs, params = space.fixed_cost(linear)
    tables = {MACS: counts[0], PARAMS: counts[1]}
    return CostTable(tables, {MACS: macs, PARAMS: params})


def supernet_params(space: SearchSpace) -> int:
    """Parameters of all candidates together, without layer-indicator batch norms."""
    table = cost_table(space)
    return int(table.tables[PARAMS].sum()) + table.fixed[PARAMS]
