"""The blocks of one op in a layer: of all cells, and as a pure function."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from difnas_jax.models import codes, kernel_inputs
from difnas_jax.models.blocks import BLOCKS
from difnas_jax.ops.layout import Layout
from difnas_jax.ops.normalization import Activation
from difnas_jax.spaces.base import Op


class PerCellBlocks(nn.Module):
    """One op of an edge: a block for each cell, named `cell_00` and so on.

    Attributes:
      op: what to compute.
      widths: output channels in each cell.
      layout: of the feature maps.
      activation: of the blocks.
    """

    op: Op
    widths: tuple[int, ...]
    layout: Layout
    activation: Activation

    def setup(self) -> None:
        """Make one submodule for each cell."""
        for cell, width in enumerate(self.widths):
            block = BLOCKS[self.op.kind](
                self.op, width, 1, self.layout, self.activation
            )
            setattr(self, cell_name(cell), block)


def cell_name(cell: int) -> str:
    """The module name of an op in a cell."""
    return f"cell_{cell:02d}"


# Collections in which blocks record what others read -> what a branch keeps of one.
RECORDS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(codes.SUMMARIES, codes.total),
    kernel_inputs.COLLECTION: lambda collection: collection,
}
Recorded = dict[str, dict[str, Any]]  # by block, by collection


def recorded_by(module: nn.Module) -> tuple[str, ...]:
    """The collections of `RECORDS` that the caller of a module asks for."""
    return tuple(name for name in RECORDS if module.is_mutable_collection(name))


@dataclasses.dataclass(frozen=True)
class SumOfBlocks:
    """The sum of some blocks, by name.

    The sums of equal blocks are equal, so that JAX traces them once.
    """

    blocks: tuple[tuple[str, Any], ...]
    train: bool
    recorded: tuple[str, ...]

    def __call__(self, variables: Any, inputs: Array) -> tuple[Array, Recorded]:
        """Pass a feature map through all blocks.

        Args:
          variables: by name of the block.
          inputs: a feature map.

        Returns:
          A feature map, and what the blocks record in the collections `recorded`.
        """
        outputs, records = [], {}
        for name, block in self.blocks:
            output, found = block.apply(
                variables[name], inputs, self.train, mutable=list(self.recorded)
            )
            outputs.append(output)
            records[name] = {kind: RECORDS[kind](tree) for kind, tree in found.items()}
        return functools.reduce(jnp.add, outputs), records
