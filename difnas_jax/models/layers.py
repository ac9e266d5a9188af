"""A searchable layer: a layer of a chain, or an edge of all cells.

A layer with several ops switches between them on a traced index, so one compiled
program serves every path. A layer with one op has nothing to choose: the op is called
directly, without the batch norm that only scores it.
"""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models.blocks import BLOCKS
from difnas_jax.models.branches import (
    RECORDS,
    PerCellBlocks,
    Recorded,
    SumOfBlocks,
    cell_name,
    recorded_by,
)
from difnas_jax.models.modules import Block
from difnas_jax.models.path_maps import PathMaps, fair_order
from difnas_jax.models.records import keep
from difnas_jax.ops.choice import choose, run_branch
from difnas_jax.ops.layout import Layout
from difnas_jax.ops.normalization import Activation
from difnas_jax.spaces.base import IDENTITY, Op
from difnas_jax.spaces.image import ImageLayer


class ChoiceLayer(nn.Module):
    """One searchable layer of the supernet: all its ops, of which a path takes one.

    The variables of an op lie under its name, those of an edge under the op and the
    cell.

    Attributes:
      layer: shape and allowed ops.
      ops: all ops of the space.
      parallel_identity: add an always-on identity with batch norm (the layer indicator
        as a parallel branch).
      own_skip: whether a block keeps its own skip connection beside that branch.
      layout: of the feature maps.
      activation: of the blocks.
      rematerialize: compute the layer again in the backward pass.
      widths: for an edge, the channels in each cell; empty for a layer of a chain.
    """

    layer: ImageLayer
    ops: tuple[Op, ...]
    parallel_identity: bool
    own_skip: bool
    layout: Layout
    activation: Activation
    rematerialize: bool
    widths: tuple[int, ...] = ()

    def setup(self) -> None:
        """Make one submodule for each op, under the op's name."""
        for op in [*self._allowed(), *self._parallel()]:
            if self.widths:
                block = PerCellBlocks(op, self.widths, self.layout, self.activation)
            else:
                block = self._block(op, None)
            setattr(self, op.name, block)

    def together(
        self,
        paths: PathMaps,
        ops: Array,
        train: bool,
        fair: bool,
        cell: int | None = None,
    ) -> PathMaps:
        """Pass the feature maps of K paths through their ops.

        Args:
          paths: the inputs.
          ops: int32[K].
          train: see `BatchNorm`.
          fair: the K paths take every op of the layer K // M times at least, where the
            layer has M. Then no index chooses an op: the paths are permuted so that
            each op finds its own in a fixed place, and only those of the K % M ops
            that are taken once more are chosen by an index.
          cell: for an edge, the number of the cell.
        """
        allowed = self._allowed()
        if len(allowed) == 1 or self.is_initializing():
            return paths.each(lambda inputs: self(inputs, ops[0], train, cell))
        keeps_statistics = self.is_mutable_collection("batch_stats")
        if not fair or keeps_statistics or len(ops) < len(allowed):
            pairs = zip(paths.in_order(), ops, strict=True)
            outputs = [self(inputs, op, train, cell) for inputs, op in pairs]
            return PathMaps.of(tuple(outputs), len(ops))
        order = fair_order(self._numbers(ops), len(allowed))
        outputs = []
        for slot, inputs in enumerate(paths.arranged(order)):
            turn, number = divmod(slot, len(allowed))
            if turn < len(ops) // len(allowed):
                outputs.append(self._through_one(allowed[number], inputs, train, cell))
            else:
                outputs.append(self(inputs, ops[order[slot]], train, cell))
        return PathMaps(tuple(outputs), jnp.argsort(order))

    def __call__(
        self, inputs: Array, op: Array, train: bool, cell: int | None = None
    ) -> Array:
        """Pass a feature map through an op (int32[]), for an edge that of `cell`.

        Given weights float32[O] instead, add up all ops of the layer, so weighted.
        Initialising passes through all ops and returns the output of the last.
        """
        ops = self._allowed()
        if self.is_initializing():
            return [self.through(op, inputs, train, cell) for op in ops][-1]
        # Branches reach their op through the module argument: one that closes over a
        # submodule would silently lose its batch statistics.
        through = [_through(op, train, cell) for op in ops]
        if len(ops) == 1:
            run = nn.remat(through[0]) if self.rematerialize else through[0]
            return run(self, inputs)
        if op.ndim:
            return self._mixed(inputs, op, train, cell)
        branch = self._numbers(op)
        if self.is_mutable_collection("batch_stats"):
            return nn.switch(branch, through, self, inputs)
        branches = tuple(self._branch(op, train, cell) for op in ops)
        variables = tuple(self._variables(op, cell) for op in ops)
        found: Any = choose(branches, self.rematerialize, branch, variables, inputs)
        outputs, records = found
        for recorded in records:
            self._keep(recorded, cell)
        return outputs

    def _mixed(
        self, inputs: Array, weights: Array, train: bool, cell: int | None
    ) -> Array:
        """The sum of all ops, weighted by float32[O]; weight 0 records nothing."""
        total = []
        for index, op in zip(self.layer.ops, self._allowed(), strict=True):
            branch, variables = self._branch(op, train, cell), self._variables(op, cell)
            outputs, recorded = run_branch(branch, variables, inputs)
            total.append(weights[index] * outputs)
            runs = weights[index] != 0
            self._keep(jax.tree.map(lambda leaf, on=runs: on * leaf, recorded), cell)
        return functools.reduce(jnp.add, total)

    def _keep(self, recorded: Recorded, cell: int | None) -> None:
        """Add what a branch records to the collections, each block under its name."""
        for block, collections in recorded.items():
            path = (block,) if cell is None else (block, cell_name(cell))
            for name, tree in collections.items():
                keep(self, name, path, tree)

    def _numbers(self, ops: Array) -> Array:
        """Indices among all ops of the space -> indices among those of this layer."""
        numbers = np.zeros(len(self.ops), np.int32)
        numbers[list(self.layer.ops)] = np.arange(len(self.layer.ops))
        return jnp.asarray(numbers)[ops]

    def _through_one(
        self, op: Op, inputs: Array, train: bool, cell: int | None
    ) -> Array:
        """`through` of an op that no index chooses, traced once for equal layers."""
        run = run_branch
        if self.rematerialize:
            run = jax.checkpoint(run, static_argnums=0)
        branch, variables = self._branch(op, train, cell), self._variables(op, cell)
        outputs, recorded = run(branch, variables, inputs)
        self._keep(recorded, cell)
        return outputs

    def through(self, op: Op, inputs: Array, train: bool, cell: int | None) -> Array:
        """The op, plus the always-on identity where the layer has one.

        The identity runs inside the branch of the op. Beside the switch, its
        collectives and those of the op have no order, and devices that meet them in
        different orders wait for each other for ever.
        """
        paths = [self._path(each, cell) for each in [op, *self._parallel()]]
        blocks: list[Any] = [functools.reduce(getattr, path, self) for path in paths]
        return functools.reduce(jnp.add, [block(inputs, train) for block in blocks])

    def _path(self, op: Op, cell: int | None) -> tuple[str, ...]:
        """Names of the modules from here to the block of an op."""
        return (op.name,) if cell is None else (op.name, cell_name(cell))

    def _allowed(self) -> list[Op]:
        skip = self.own_skip or not self.parallel_identity
        chosen = [self.ops[index] for index in self.layer.ops]
        ops = [dataclasses.replace(op, skip=op.skip and skip) for op in chosen]
        if len(ops) > 1:
            return ops
        return [dataclasses.replace(op, indicator=False) for op in ops]

    def _parallel(self) -> list[Op]:
        identities = [op for op in self.ops if op.kind == IDENTITY.kind]
        return identities if self.parallel_identity else []

    def _block(self, op: Op, cell: int | None, **options: Any) -> Block:
        width = self.layer.out_channels if cell is None else self.widths[cell]
        shape = width, self.layer.stride
        return BLOCKS[op.kind](op, *shape, self.layout, self.activation, **options)

    def _branch(self, op: Op, train: bool, cell: int | None) -> SumOfBlocks:
        """`through` as a pure function, equal for equal layers."""
        ops = [op, *self._parallel()]
        # Without a parent the blocks of equal layers compare equal.
        blocks = tuple((op.name, self._block(op, cell, parent=None)) for op in ops)
        return SumOfBlocks(blocks, train, recorded_by(self))

    def _variables(self, op: Op, cell: int | None) -> dict[str, Any]:
        """By op name and collection (frozen weights included), those of a branch.

        Without what was recorded along other paths, to which it would be added again.
        """
        variables = {}
        trees = {k: tree for k, tree in self.variables.items() if k not in RECORDS}
        for each in [op, *self._parallel()]:
            path = self._path(each, cell)
            found = {kind: _at(tree, path) for kind, tree in trees.items()}
            variables[each.name] = {kind: tree for kind, tree in found.items() if tree}
        return variables


def _through(op: Op, train: bool, cell: int | None) -> Any:
    return lambda module, inputs: module.through(op, inputs, train, cell)


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    """The part of a tree under a path; empty where there is none."""
    return functools.reduce(lambda node, name: node.get(name, {}), path, tree)


def layer_name(index: int) -> str:
    """The module name of searchable layer or edge `index`."""
    return f"layer_{index:02d}"
