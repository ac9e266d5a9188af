"""Search spaces as data: what can be built, never how it is computed.

`image.ImageSpace` adds what is particular to images. Of an `Op`, only the blocks of
image networks read `kernel`, `expansion` and `indicator`.

Single letters mean the same everywhere in this package:

    B batch   H height   W width   C channels   L layers   O ops
    K paths of one update   N examples, candidates or any other list

An **architecture** is a tuple of L op indices; a **path** is the same as `int32[L]`.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Self

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
      indicator: whether a supernet adds a batch norm after an op that has none of its
        own, to score the op by it; the found network never has it.
      skip: whether a residual block adds its input.
      activation: of a fully connected layer, a key of `models.modules.ACTIVATIONS`.
    """

    name: str
    kind: str
    kernel: int = 1
    expansion: int = 1
    indicator: bool = True
    skip: bool = True
    activation: str = ""


IDENTITY = Op("identity", "identity")


@dataclasses.dataclass(frozen=True)
class Layer:
    """One searchable layer; a kind of space may add fields, such as a shape.

    Attributes:
      ops: the allowed indices into `SearchSpace.ops`, in increasing order.
    """

    ops: tuple[int, ...] = dataclasses.field(kw_only=True)

    @property
    def is_normal(self) -> bool:
        """Whether the layer keeps its shape, so that an identity can replace it."""
        return True


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """What every space has: L layers, each with ops to choose from.

    A subclass describes the network around the searchable layers.

    Attributes:
      name: key in `spaces.SPACES`.
      num_classes: outputs of the classifier.
      ops: all ops of the space; layers refer to them by index.
      layers: the searchable layers, or the edges of the cell.
      has_batch_norms: whether the blocks have some, which train and score.
    """

    has_batch_norms: ClassVar[bool] = True
    name: str
    num_classes: int
    ops: tuple[Op, ...]
    layers: tuple[Layer, ...]

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.layers)

    @property
    def num_ops(self) -> int:
        """O."""
        return len(self.ops)

    @property
    def graph(self) -> tuple[tuple[int, int], ...]:
        """(source, target) of each layer between numbered maps: here, a chain."""
        return tuple((layer, layer + 1) for layer in range(self.num_layers))

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
    def skippable(self) -> np.ndarray:
        """bool[L]: where identity is allowed and passes the input on as it is.

        An identity that changes the shape is an op like any other.
        """
        identity = self.identity
        return np.array(
            [each.is_normal and identity in each.ops for each in self.layers]
        )

    @property
    def identity_runs(self) -> tuple[slice, ...]:
        """Runs of layers in which the position of the identities does not matter.

        An identity and another op of such a run may be swapped: the network stays the
        same, though a supernet has other weights there.
        """
        return ()

    def without_identity(self) -> Self:
        """The same space with identity removed wherever a layer has other ops.

        A layer whose only op is identity keeps it: such a layer is fixed, not chosen.
        So does a layer that changes the shape, where identity is an op like any other.
        """
        layers = []
        for layer, skippable in zip(self.layers, self.skippable, strict=True):
            if skippable and len(layer.ops) > 1:
                others = tuple(op for op in layer.ops if op != self.identity)
                layer = dataclasses.replace(layer, ops=others)
            layers.append(layer)
        return dataclasses.replace(self, layers=tuple(layers))

    def op_cost(self, layer: int, op: Op) -> tuple[int, int]:
        """(multiply-adds, parameters) of an op in a layer; see `costs.cost_table`."""
        raise NotImplementedError

    def fixed_cost(self, linear: str) -> tuple[int, int]:
        """(multiply-adds, parameters) that every architecture has.

        Args:
          linear: how the classifier counts, a key of `costs.LINEAR_RULES`.
        """
        raise NotImplementedError

    def canonical(self, architectures: np.ndarray) -> np.ndarray:
        """One representative of all architectures that are the very same network.

        Args:
          architectures: int[N, L], valid ones.

        Returns:
          int[N, L]; two rows are equal only if their networks are.
        """
        return np.asarray(architectures)

    def is_connected(self, architectures: np.ndarray) -> np.ndarray:
        """Whether the input reaches the classifier.

        Args:
          architectures: int[N, L], valid ones.

        Returns:
          bool[N].
        """
        return np.ones(len(architectures), bool)

    @property
    def always_connected(self) -> bool:
        """Whether every architecture is connected."""
        return True

    def cut(self, architecture: Sequence[int]) -> Self:
        """The space whose only member is `architecture`: the found network."""
        chosen = zip(self.layers, self.validate(architecture), strict=True)
        layers = tuple(dataclasses.replace(layer, ops=(op,)) for layer, op in chosen)
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

    def op_names(self, architecture: Sequence[int]) -> tuple[str, ...]:
        """The architecture as op names, for people to read."""
        return tuple(self.ops[op].name for op in self.validate(architecture))

    def text(self, architecture: Sequence[int]) -> str:
        """The architecture in one line."""
        return " ".join(self.op_names(architecture))

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
