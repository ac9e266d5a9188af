"""The supernet, and the found network as the same code over a space of size one.

A layer with several ops switches between them on a traced index, so one compiled
program serves every path. A layer with one op has nothing to choose: the op is called
directly, and an identity vanishes. The found network is therefore
`Supernet(space.cut(architecture))`, and its variables are a subtree of the supernet's.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models.batchnorm import BatchNorm
from difnas_jax.models.blocks import BLOCKS, RELU6, Conv, Linear, Pointwise
from difnas_jax.models.choice import Branch, choose
from difnas_jax.models.layout import Layout, fastest
from difnas_jax.spaces.base import IDENTITY, Layer, Op, SearchSpace
from difnas_jax.spaces.layer_indicator import Wiring

DTYPES: dict[str, Any] = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class ChoiceLayer(nn.Module):
    """One layer of the supernet: all its ops, of which a path takes one.

    Attributes:
      layer: shape and allowed ops.
      ops: all ops of the space.
      parallel_identity: add an always-on identity with batch norm (the layer indicator
        as a parallel branch).
      train_kernels: whether kernels are parameters.
      layout: of the feature maps.
      rematerialize: compute the layer again in the backward pass.
    """

    layer: Layer
    ops: tuple[Op, ...]
    parallel_identity: bool
    train_kernels: bool
    layout: Layout
    rematerialize: bool

    def setup(self) -> None:
        """Make one submodule for each op, under the op's name."""
        for op in [*self._allowed(), *self._parallel()]:
            setattr(self, op.name, self._block(op))

    def __call__(self, inputs: Array, index: Array, train: bool) -> Array:
        """Pass a feature map through op `index` (int32[])."""
        ops = self._allowed()
        if [op.kind for op in ops] == [IDENTITY.kind]:
            return inputs
        if self.is_initializing():
            return [self.through(op.name, inputs, train) for op in ops][-1]
        if len(ops) == 1:
            through = _through(ops[0].name, train)
            return (nn.remat(through) if self.rematerialize else through)(self, inputs)
        number = self._branch_number(index)
        if not self.is_mutable_collection("batch_stats"):
            branches = tuple(self._branch(op, train) for op in ops)
            variables = tuple(self._variables(op) for op in ops)
            return choose(branches, self.rematerialize, number, variables, inputs)
        # Branches reach their op through the module argument: one that closes over a
        # submodule would lose its batch statistics without a word.
        branches = [_through(op.name, train) for op in ops]
        return nn.switch(number, branches, self, inputs)

    def through(self, name: str, inputs: Array, train: bool) -> Array:
        """The op `name`, plus the always-on identity where the layer has one.

        The identity runs inside the branch of the op. Beside the switch, its
        collectives and those of the op have no order, and devices that meet them in
        different orders wait for each other for ever.
        """
        outputs = getattr(self, name)(inputs, train)
        for op in self._parallel():
            outputs = outputs + getattr(self, op.name)(inputs, train)
        return outputs

    def _allowed(self) -> list[Op]:
        return [self.ops[index] for index in self.layer.ops]

    def _parallel(self) -> list[Op]:
        identities = [op for op in self.ops if op.kind == IDENTITY.kind]
        return identities if self.parallel_identity else []

    def _block(self, op: Op, **options: Any) -> nn.Module:
        shape = self.layer.out_channels, self.layer.stride
        return BLOCKS[op.kind](op, *shape, self.train_kernels, self.layout, **options)

    def _branch(self, op: Op, train: bool) -> Branch:
        """`through` as a pure function, equal for equal layers."""
        names = [op, *self._parallel()]
        blocks = tuple((op.name, self._block(op, parent=None)) for op in names)
        return _Through(blocks, train)

    def _variables(self, op: Op) -> dict[str, Any]:
        names = [op.name, *(op.name for op in self._parallel())]
        return {
            name: {
                kind: values[name]
                for kind, values in self.variables.items()
                if name in values
            }
            for name in names
        }

    def _branch_number(self, index: Array) -> Array:
        numbers = np.zeros(len(self.ops), np.int32)
        numbers[list(self.layer.ops)] = np.arange(len(self.layer.ops))
        return jnp.asarray(numbers)[index]


def _through(name: str, train: bool) -> Any:
    return lambda module, inputs: module.through(name, inputs, train)


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


class Supernet(nn.Module):
    """Stem, fixed blocks, choice layers, head, global pooling, classifier.

    Collections: `params` (batch-norm scale and bias; kernels too if `train_kernels`),
    `frozen` (kernels and classifier otherwise), `batch_stats` (see `BatchNorm`).

    Attributes:
      space: the search space.
      parallel_identity: layers with an always-on identity branch.
      train_kernels: whether kernels are parameters.
      dropout: rate before the classifier; needs the random stream `dropout`.
      dtype: key of `DTYPES`, in which feature maps are computed; variables, batch-norm
        statistics and logits are float32.
      rematerialize: keep the input of each choice layer only and compute the layer
        again in the backward pass: less memory, about a third more work.
      layout: of the feature maps; that of this machine's backend by default.
    """

    space: SearchSpace
    parallel_identity: tuple[int, ...] = ()
    train_kernels: bool = False
    dropout: float = 0.0
    dtype: str = "float32"
    rematerialize: bool = False
    layout: Layout | None = None

    @nn.compact
    def __call__(self, images: Array, path: Array, train: bool) -> Array:
        """Classify images along one path.

        Args:
          images: float32[B, H, W, C].
          path: int32[L]; an op that its layer does not allow is not noticed here
            (`SearchSpace.validate` on the host does).
          train: batch statistics and dropout instead of running statistics.

        Returns:
          float32[B, num_classes] logits.
        """
        space, trains = self.space, self.train_kernels
        layout = self.layout or fastest()
        images = layout.arrange(images).astype(DTYPES[self.dtype])
        stem = Conv(
            trains, space.stem_channels, 3, space.stem_stride, layout, name="stem"
        )
        hidden = BatchNorm(layout, RELU6, name="bn_stem")(stem(images), train)
        for number, block in enumerate(space.fixed):
            hidden = BLOCKS[block.op.kind](
                *(block.op, block.out_channels, block.stride, trains, layout),
                name=f"fixed_{number}",
            )(hidden, train)
        for number, layer in enumerate(space.layers):
            hidden = ChoiceLayer(
                *(layer, space.ops, number in self.parallel_identity, trains),
                *(layout, self.rematerialize),
                name=layer_name(number),
            )(hidden, path[number], train)
        head = Pointwise(trains, space.head_channels, layout, name="head")
        hidden = BatchNorm(layout, RELU6, name="bn_head")(head(hidden), train)
        pooled = hidden.astype(jnp.float32).mean(layout.spatial)
        if layout.channel == 0:
            pooled = pooled.T  # [C, B] -> [B, C]
        pooled = nn.Dropout(self.dropout, deterministic=not train)(pooled)
        return Linear(trains, space.num_classes, name="classifier")(pooled)


def wired(wiring: Wiring, *, train_kernels: bool, **options: Any) -> Supernet:
    """The supernet under a wiring of the layer indicator.

    Args:
      wiring: what is sampled, and where the identity is always on.
      train_kernels: whether kernels are parameters.
      **options: `dtype`, `rematerialize` and `layout` of `Supernet`.
    """
    return Supernet(wiring.sampled, wiring.parallel, train_kernels, **options)


def layer_name(number: int) -> str:
    """The module name of choice layer `number`."""
    return f"layer_{number:02d}"
