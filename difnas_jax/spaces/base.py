"""Search spaces as data: what can be built, never how it is computed.

Single letters mean the same everywhere in this package:

    B batch   H height   W width   C channels   L layers   O ops
    K paths of one update   N examples, candidates or any other list

An **architecture** is a tuple of L op indices; a **path** is the same as `int32[L]`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from difnas_jax.errors import InputError

Architecture = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Op:
    """One candidate of a layer.

    Attributes:
      name: short unique name, for example `k3e6` or `identity`.
      kind: which block computes it; a key of `costs.BLOCK_COSTS` and
        `models.blocks.BLOCKS`.
      kernel: side of the depthwise kernel in pixels.
      expansion: channels inside the block as a multiple of its input channels.
    """

    name: str
    kind: str
    kernel: int = 1
    expansion: int = 1


IDENTITY = Op("identity", "identity")


@dataclasses.dataclass(frozen=True)
class Layer:
    """One searchable layer: its shape and the ops it allows.

    Attributes:
      in_channels, out_channels: channels before and after.
      stride: 1 or 2.
      ops: the allowed indices into `SearchSpace.ops`, in increasing order.
    """

    in_channels: int
    out_channels: int
    stride: int
    ops: tuple[int, ...]

    @property
    def is_normal(self) -> bool:
        """Whether the layer keeps its shape, so that an identity can replace it."""
        return self.stride == 1 and self.in_channels == self.out_channels


@dataclasses.dataclass(frozen=True)
class FixedBlock:
    """A block before the searchable layers that every architecture has."""

    in_channels: int
    out_channels: int
    stride: int
    op: Op


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """A single-path search space: stem, fixed blocks, L choice layers, head.

    Attributes:
      name: key in `spaces.SPACES`.
      image_size, image_channels: input images are [image_size, image_size,
        image_channels].
      num_classes: outputs of the classifier.
      stem_channels, stem_stride: the 3x3 convolution at the start.
      fixed: blocks between the stem and the choice layers.
      ops: all ops of the space; layers refer to them by index.
      layers: the choice layers.
      head_channels: outputs of the 1x1 convolution before global pooling.
    """

    name: str
    image_size: int
    image_channels: int
    num_classes: int
    stem_channels: int
    stem_stride: int
    fixed: tuple[FixedBlock, ...]
    ops: tuple[Op, ...]
    layers: tuple[Layer, ...]
    head_channels: int

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.layers)

    @property
    def num_ops(self) -> int:
        """O."""
        return len(self.ops)

    @property
    def allowed(self) -> np.ndarray:
        """bool[L, O]: which op each layer allows."""
        mask = np.zeros((self.num_layers, self.num_ops), bool)
        for index, layer in enumerate(self.layers):
            mask[index, list(layer.ops)] = True
        return mask

    @property
    def identity(self) -> int | None:
        """Index of the identity op, or None where the space has none."""
        kinds = [op.kind for op in self.ops]
        return kinds.index("identity") if "identity" in kinds else None

    @property
    def size(self) -> int:
        """How many architectures there are."""
        return int(np.prod([len(layer.ops) for layer in self.layers], dtype=object))

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Side in pixels of the input of each layer, and last that of the head."""
        sizes = [strided(self.image_size, self.stem_stride)]
        for block in self.fixed:
            sizes[0] = strided(sizes[0], block.stride)
        for layer in self.layers:
            sizes.append(strided(sizes[-1], layer.stride))
        return tuple(sizes)

    def without_identity(self) -> SearchSpace:
        """The same space with identity removed wherever a layer has other ops.

        A layer whose only op is identity keeps it: such a layer is fixed, not chosen.
        """
        layers = []
        for layer in self.layers:
            others = tuple(op for op in layer.ops if op != self.identity)
            layers.append(dataclasses.replace(layer, ops=others or layer.ops))
        return dataclasses.replace(self, layers=tuple(layers))

    def cut(self, architecture: Sequence[int]) -> SearchSpace:
        """The space whose only member is `architecture`: the found network."""
        layers = tuple(
            dataclasses.replace(layer, ops=(op,))
            for layer, op in zip(self.layers, self.validate(architecture), strict=True)
        )
        return dataclasses.replace(self, layers=layers)

    def validate(self, architecture: Sequence[int]) -> Architecture:
        """Check an architecture.

        Args:
          architecture: L op indices.

        Returns:
          The architecture as a tuple of Python integers.

        Raises:
          InputError: wrong length, or an op that its layer does not allow.
        """
        ops = tuple(int(op) for op in architecture)
        if len(ops) != self.num_layers:
            raise InputError(
                f"architecture: expected {self.num_layers} op indices for space "
                f"{self.name!r}, got {len(ops)}"
            )
        for index, (op, layer) in enumerate(zip(ops, self.layers, strict=True)):
            if op not in layer.ops:
                names = ", ".join(f"{i} ({self.ops[i].name})" for i in layer.ops)
                raise InputError(
                    f"architecture: layer {index} of space {self.name!r} does not "
                    f"allow op {op}; it allows {names}"
                )
        return ops

    def canonical(self, architectures: np.ndarray) -> np.ndarray:
        """One representative of all architectures that are the same network.

        Here every architecture is a network of its own. A space in which different
        ones are the same network, at the same cost, returns the same row for them; a
        search evaluates each row once.

        Args:
          architectures: int[N, L].

        Returns:
          int[N, L], architectures of this space; their own representatives.
        """
        return architectures

    def op_names(self, architecture: Sequence[int]) -> tuple[str, ...]:
        """The architecture as op names, for people to read."""
        return tuple(self.ops[op].name for op in self.validate(architecture))

    def parse(self, names: Sequence[str]) -> Architecture:
        """The inverse of `op_names`.

        Raises:
          InputError: an unknown name, or an architecture that is not valid.
        """
        known = [op.name for op in self.ops]
        for name in names:
            if name not in known:
                raise InputError(
                    f"architecture: unknown op {name!r}; space {self.name!r} has "
                    + ", ".join(known)
                )
        return self.validate([known.index(name) for name in names])


def strided(size: int, stride: int) -> int:
    """Output side of a convolution with an odd kernel k and padding k // 2."""
    return (size - 1) // stride + 1
