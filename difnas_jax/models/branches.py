"""The blocks of one op in a layer: of all cells, and as a pure function."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.models import codes
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


@dataclasses.dataclass(frozen=True)
class SumOfBlocks:
    """The sum of some blocks, by name.

    The sums of equal blocks are equal, so that JAX traces them once.
    """

    blocks: tuple[tuple[str, Any], ...]
    train: bool

    def __call__(self, variables: Any, inputs: Array) -> Array:
        """The variables by name of the block, and a feature map -> a feature map."""
        outputs = [
            block.apply(variables[name], inputs, self.train)
            for name, block in self.blocks
        ]
        return functools.reduce(jnp.add, outputs)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def run_recording(
    branch: SumOfBlocks,
    recorded: tuple[str, ...],
    layout: Layout,
    variables: Any,
    inputs: Array,
) -> tuple[Array, dict[str, Array]]:
    """A branch with the summaries of its codes.

    Args:
      branch: the blocks.
      recorded: collections of `codes.SUMMARIES`.
      layout: of the inputs.
      variables: by name of the block.
      inputs: a feature map.

    Returns:
      The outputs, and the summaries by collection, 0 where nothing is activated.
    """
    none = jnp.zeros((0, inputs.shape[layout.dims.index("B")]), bool)
    summaries = {name: codes.SUMMARIES[name](none) for name in recorded}
    total: Any = None
    for name, block in branch.blocks:
        outputs, found = block.apply(
            variables[name], inputs, branch.train, mutable=list(recorded)
        )
        total = outputs if total is None else total + outputs
        for kind, collection in found.items():
            summaries[kind] += codes.total(collection)
    return total, summaries


def switch_recording(
    branches: tuple[SumOfBlocks, ...],
    recorded: tuple[str, ...],
    layout: Layout,
    index: Array,
    variables: tuple[Any, ...],
    inputs: Array,
) -> tuple[Array, dict[str, Array]]:
    """`run_recording` of the branch with this index, int32[]."""

    def run(number: int, variables: tuple[Any, ...], inputs: Array):
        return run_recording(
            branches[number], recorded, layout, variables[number], inputs
        )

    runs = [functools.partial(run, number) for number in range(len(branches))]
    return jax.lax.switch(index, runs, variables, inputs)
