"""A place with a choice: a layer of a chain or an edge of all cells.

A layer with several ops switches between them on a traced index, so one compiled
program serves every path. A layer with one op has nothing to choose: the op is called
directly, without the batch norm that only scores it.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models.blocks import BLOCKS
from difnas_jax.models.kernels import Block
from difnas_jax.ops.choice import Branch, choose
from difnas_jax.ops.layout import Layout
from difnas_jax.spaces.base import IDENTITY, Op
from difnas_jax.spaces.image import ImageLayer


class Copies(nn.Module):
    """One op of an edge: a block for each cell, `cell_00` and so on.

    Attributes:
      op: what to compute.
      widths: output channels in each cell.
      options: further arguments of the block.
    """

    op: Op
    widths: tuple[int, ...]
    options: tuple[Any, ...]

    def setup(self) -> None:
        """Make one submodule for each cell."""
        for cell, width in enumerate(self.widths):
            block = BLOCKS[self.op.kind](self.op, width, 1, *self.options)
            setattr(self, cell_name(cell), block)


class ChoiceLayer(nn.Module):
    """One layer of the supernet: all its ops, of which a path takes one.

    The variables of an op lie under its name, those of an edge under the op and the
    cell.

    Attributes:
      layer: shape and allowed ops.
      ops: all ops of the space.
      parallel_identity: add an always-on identity with batch norm (the layer indicator
        as a parallel branch).
      layout: of the feature maps.
      ceiling: of the activation.
      rematerialize: compute the layer again in the backward pass.
      widths: for an edge, the channels in each cell; empty for a layer of a chain.
    """

    layer: ImageLayer
    ops: tuple[Op, ...]
    parallel_identity: bool
    layout: Layout
    ceiling: float
    rematerialize: bool
    widths: tuple[int, ...] = ()

    def setup(self) -> None:
        """Make one submodule for each op, under the op's name."""
        for op in [*self._allowed(), *self._parallel()]:
            if self.widths:
                module = Copies(op, self.widths, self._options())
            else:
                module = self._block(op, None)
            setattr(self, op.name, module)

    def __call__(
        self, inputs: Array, index: Array, train: bool, cell: int | None = None
    ) -> Array:
        """Pass a feature map through op `index` (int32[]), for an edge that of `cell`.

        Initialising passes through all ops and returns the output of the last.
        """
        ops = self._allowed()
        if self.is_initializing():
            return [self.through(op.name, inputs, train, cell) for op in ops][-1]
        if len(ops) == 1:
            through = _through(ops[0].name, train, cell)
            return (nn.remat(through) if self.rematerialize else through)(self, inputs)
        number = self._branch_number(index)
        if not self.is_mutable_collection("batch_stats"):
            branches = tuple(self._branch(op, train, cell) for op in ops)
            variables = tuple(self._variables(op, cell) for op in ops)
            return choose(branches, self.rematerialize, number, variables, inputs)
        # Branches reach their op through the module argument: one that closes over a
        # submodule would lose its batch statistics without a word.
        branches = [_through(op.name, train, cell) for op in ops]
        return nn.switch(number, branches, self, inputs)

    def through(self, name: str, inputs: Array, train: bool, cell: int | None) -> Array:
        """The op `name`, plus the always-on identity where the layer has one.

        The identity runs inside the branch of the op. Beside the switch, its
        collectives and those of the op have no order, and devices that meet them in
        different orders wait for each other for ever.
        """
        outputs = self._find(name, cell)(inputs, train)
        for op in self._parallel():
            outputs = outputs + self._find(op.name, cell)(inputs, train)
        return outputs

    def _find(self, name: str, cell: int | None) -> Block:
        module = getattr(self, name)
        return module if cell is None else getattr(module, cell_name(cell))

    def _allowed(self) -> list[Op]:
        ops = [self.ops[index] for index in self.layer.ops]
        if len(ops) > 1:
            return ops
        return [dataclasses.replace(op, indicator=False) for op in ops]

    def _parallel(self) -> list[Op]:
        identities = [op for op in self.ops if op.kind == IDENTITY.kind]
        return identities if self.parallel_identity else []

    def _options(self) -> tuple[Any, ...]:
        return self.layout, self.ceiling

    def _block(self, op: Op, cell: int | None, **options: Any) -> Block:
        width = self.layer.out_channels if cell is None else self.widths[cell]
        shape = width, self.layer.stride
        return BLOCKS[op.kind](op, *shape, *self._options(), **options)

    def _branch(self, op: Op, train: bool, cell: int | None) -> Branch:
        """`through` as a pure function, equal for equal layers."""
        names = [op, *self._parallel()]
        blocks = tuple((op.name, self._block(op, cell, parent=None)) for op in names)
        return _Through(blocks, train)

    def _variables(self, op: Op, cell: int | None) -> dict[str, Any]:
        """By op name and collection, the variables of a branch."""
        names = [op.name, *(op.name for op in self._parallel())]
        variables = {}
        for name in names:
            place = (name,) if cell is None else (name, cell_name(cell))
            found = {kind: _at(tree, place) for kind, tree in self.variables.items()}
            variables[name] = {kind: tree for kind, tree in found.items() if tree}
        return variables

    def _branch_number(self, index: Array) -> Array:
        numbers = np.zeros(len(self.ops), np.int32)
        numbers[list(self.layer.ops)] = np.arange(len(self.layer.ops))
        return jnp.asarray(numbers)[index]


def _through(name: str, train: bool, cell: int | None) -> Any:
    return lambda module, inputs: module.through(name, inputs, train, cell)


def _at(tree: Any, place: tuple[str, ...]) -> Any:
    """The part of a tree at a place; empty where there is none."""
    return functools.reduce(lambda node, name: node.get(name, {}), place, tree)


@dataclasses.dataclass(frozen=True)
class _Through:
    """The sum of some blocks; of equal blocks, equal, so that it is traced once."""

    blocks: tuple[tuple[str, Any], ...]
    train: bool

    def __call__(self, variables: Any, inputs: Array) -> Array:
        outputs = [
            block.apply(variables[name], inputs, self.train)
            for name, block in self.blocks
        ]
        return functools.reduce(jnp.add, outputs)


def layer_name(number: int) -> str:
    """The module name of choice layer or edge `number`."""
    return f"layer_{number:02d}"


def cell_name(number: int) -> str:
    """The module name of an op in cell `number`."""
    return f"cell_{number:02d}"
