"""The supernet, and the found network as the same code over a space of size one.

A layer with several ops switches between them on a traced index, so one compiled
program serves every path. A layer with one op has nothing to choose: the op is called
directly, and an identity vanishes. The found network is therefore
`Supernet(space.cut(architecture))`, and its variables are a subtree of the supernet's.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models.batchnorm import BatchNorm
from difnas_jax.models.blocks import BLOCKS, Conv, Pointwise, relu6
from difnas_jax.spaces.base import IDENTITY, Layer, Op, SearchSpace
from difnas_jax.spaces.layer_indicator import Wiring


class ChoiceLayer(nn.Module):
    """One layer of the supernet: all its ops, of which a path takes one.

    Attributes:
      layer: shape and allowed ops.
      ops: all ops of the space.
      parallel_identity: add an always-on identity with batch norm (the layer indicator
        as a parallel branch).
      train_kernels: whether kernels are parameters.
    """

    layer: Layer
    ops: tuple[Op, ...]
    parallel_identity: bool
    train_kernels: bool

    def setup(self) -> None:
        """Make one submodule for each op, under the op's name."""
        ops = [self.ops[index] for index in self.layer.ops]
        for op in [*ops, *self._parallel()]:
            block = BLOCKS[op.kind](
                op, self.layer.out_channels, self.layer.stride, self.train_kernels
            )
            setattr(self, op.name, block)

    def __call__(self, inputs: Array, index: Array, train: bool) -> Array:
        """[B, H, W, C_in] -> [B, H', W', C_out] through op `index` (int32[])."""
        ops = [self.ops[index] for index in self.layer.ops]
        if [op.kind for op in ops] == [IDENTITY.kind]:
            return inputs
        if self.is_initializing():
            return [self.through(op.name, inputs, train) for op in ops][-1]
        if len(ops) == 1:
            return self.through(ops[0].name, inputs, train)
        # Branches reach their op through the module argument: one that closes over a
        # submodule would lose its batch statistics without a word.
        branches = [_branch(op.name, train) for op in ops]
        return nn.switch(self._branch_number(index), branches, self, inputs)

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

    def _parallel(self) -> list[Op]:
        identities = [op for op in self.ops if op.kind == IDENTITY.kind]
        return identities if self.parallel_identity else []

    def _branch_number(self, index: Array) -> Array:
        numbers = np.zeros(len(self.ops), np.int32)
        numbers[list(self.layer.ops)] = np.arange(len(self.layer.ops))
        return jnp.asarray(numbers)[index]


def _branch(name: str, train: bool):
    return lambda module, inputs: module.through(name, inputs, train)


class Supernet(nn.Module):
    """Stem, fixed blocks, choice layers, head, global pooling, classifier.

    Collections: `params` (batch-norm scale and bias; kernels too if `train_kernels`),
    `frozen` (kernels and classifier otherwise), `batch_stats` (see `BatchNorm`).

    Attributes:
      space: the search space.
      parallel_identity: layers with an always-on identity branch.
      train_kernels: whether kernels are parameters.
      dropout: rate before the classifier; needs the random stream `dropout`.
    """

    space: SearchSpace
    parallel_identity: tuple[int, ...] = ()
    train_kernels: bool = False
    dropout: float = 0.0

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
        stem = Conv(trains, space.stem_channels, 3, space.stem_stride, name="stem")
        hidden = relu6(BatchNorm(name="bn_stem")(stem(images), train))
        for number, block in enumerate(space.fixed):
            hidden = BLOCKS[block.op.kind](
                *(block.op, block.out_channels, block.stride, trains),
                name=f"fixed_{number}",
            )(hidden, train)
        for number, layer in enumerate(space.layers):
            hidden = ChoiceLayer(
                *(layer, space.ops, number in self.parallel_identity, trains),
                name=layer_name(number),
            )(hidden, path[number], train)
        head = Pointwise(trains, space.head_channels, name="head")
        hidden = relu6(BatchNorm(name="bn_head")(head(hidden), train))
        pooled = hidden.mean((1, 2))  # [B, H, W, C] -> [B, C]
        pooled = nn.Dropout(self.dropout, deterministic=not train)(pooled)
        return Pointwise(trains, space.num_classes, True, name="classifier")(pooled)


def wired(wiring: Wiring, *, train_kernels: bool) -> Supernet:
    """The supernet under a wiring of the layer indicator."""
    return Supernet(wiring.sampled, wiring.parallel, train_kernels)


def layer_name(number: int) -> str:
    """The module name of choice layer `number`."""
    return f"layer_{number:02d}"
