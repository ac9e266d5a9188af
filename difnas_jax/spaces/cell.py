"""Spaces of cells: one small graph with the same ops, repeated through the network."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence

import numpy as np

from difnas_jax.errors import InputError
from difnas_jax.spaces.base import Architecture, Op
from difnas_jax.spaces.costs import BLOCK_COSTS, Cost, classifier, conv_bn, total
from difnas_jax.spaces.image import ImageSpace, Shape, strided

ZERO = "zero"
PASSING = ("identity", "avg_pool")  # kinds whose output is zero if the input is


@dataclasses.dataclass(frozen=True)
class CellSpace(ImageSpace):
    """A stem, stages of equal cells with a residual reduction between, a classifier.

    A cell is a graph whose nodes sum their incoming edges; node 0 is its input and the
    last node its output. The layers are the edges, with their shape in the first stage;
    every cell has the same op on an edge, with weights of its own.

    Attributes:
      channels: of the cells of each stage; the side of the maps halves from one to the
        next.
      cells: how many a stage has.
      edges: (source, target) of each layer, sorted by target and then by source.
      stem: whether a convolution comes before the cells; without one, images have as
        many channels as the first cell.
    """

    channels: tuple[int, ...]
    cells: int
    edges: tuple[tuple[int, int], ...]
    stem: bool = dataclasses.field(default=True, kw_only=True)

    @property
    def graph(self) -> tuple[tuple[int, int], ...]:
        """The edges of a cell."""
        return self.edges

    @property
    def num_nodes(self) -> int:
        """Nodes of a cell, input and output among them."""
        return self.edges[-1][1] + 1

    @property
    def stage_sizes(self) -> tuple[int, ...]:
        """Side in pixels of the maps of each stage."""
        strides = [2] * (len(self.channels) - 1)
        return tuple(itertools.accumulate(strides, strided, initial=self.image_size))

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Side in pixels of each edge in the first stage, then of the last stage."""
        return (self.image_size,) * self.num_layers + self.stage_sizes[-1:]

    def op_cost(self, layer: int, op: Op) -> Cost:
        """(MACs, parameters) of an op on an edge, in all cells together."""
        stages = zip(self.channels, self.stage_sizes, strict=True)
        cost = BLOCK_COSTS[op.kind]
        macs, params = total(cost(op, Shape(w, w, 1), size) for w, size in stages)
        return self.cells * macs, self.cells * params

    def fixed_cost(self, linear: str) -> Cost:
        """(MACs, parameters) of stem, reductions, last batch norm and classifier."""
        widths, sizes = self.channels, self.stage_sizes
        stem = conv_bn(3, self.image_channels, widths[0], sizes[0])
        parts = [stem] if self.stem else []
        for before, after, size in zip(widths, widths[1:], sizes[1:], strict=False):
            parts += [conv_bn(3, before, after, size), conv_bn(3, after, after, size)]
            parts.append((before * after * size**2, before * after))  # no batch norm
        parts.append((0, 2 * widths[-1]))
        parts.append(classifier(widths[-1], self.num_classes, linear, bias=True))
        return total(parts)

    def text(self, architecture: Sequence[int]) -> str:
        """The official string: `|op~source|` by target node, joined by `+`."""
        names = self.op_names(architecture)
        nodes: dict[int, str] = {}
        for name, (source, target) in zip(names, self.edges, strict=True):
            nodes[target] = nodes.get(target, "|") + f"{name}~{source}|"
        return "+".join(nodes.values())

    def parse(self, names: Sequence[str]) -> Architecture:
        """The inverse of `op_names`, and of `text` for a single official string.

        Raises:
          InputError: an unknown name, a string of another form, or an architecture
            that is not valid.
        """
        if len(names) != 1 or "~" not in names[0]:
            return super().parse(names)
        edges = names[0].replace("+", "").replace("||", "|").strip("|").split("|")
        architecture = super().parse([edge.partition("~")[0] for edge in edges])
        expected = self.text(architecture)
        if names[0] != expected:
            raise InputError(
                f"architecture: expected the form {expected!r}, got {names[0]!r}"
            )
        return architecture

    def is_connected(self, architectures: np.ndarray) -> np.ndarray:
        """Whether some path from the input of the cell to its output has no zero op.

        Args:
          architectures: int[N, L], valid ones.

        Returns:
          bool[N].
        """
        passes = ~self._is_kind(ZERO)[architectures]
        reached = np.zeros((len(passes), self.num_nodes), bool)
        reached[:, 0] = True
        for edge, (source, target) in enumerate(self.edges):
            reached[:, target] |= reached[:, source] & passes[:, edge]
        return reached[:, -1]

    @property
    def always_connected(self) -> bool:
        """Whether no zero ops, on however many edges that allow one, cut a cell."""
        is_zero = self._is_kind(ZERO)
        most = [max(layer.ops, key=lambda op: is_zero[op]) for layer in self.layers]
        return bool(self.is_connected(np.array([most]))[0])

    def canonical(self, architectures: np.ndarray) -> np.ndarray:
        """The first of all architectures that compute the same at the same cost.

        Architectures are merged by these laws: a sum does not depend on its order, an
        identity equals its source, and identity and pooling of zero are zero. A
        convolution of zero is not: its batch norm has a bias. An op that does not
        reach the output does not change the function, but counts in the published
        costs; so architectures are merged only if they have the same ops with
        parameters.

        All architectures of the space are enumerated once, which is feasible for cells
        as small as those of NAS-Bench-201.

        Args:
          architectures: int[N, L], valid ones.

        Returns:
          int[N, L].
        """
        every, representatives = self._classes
        columns = zip(self.layers, np.asarray(architectures).T, strict=True)
        positions = tuple(np.searchsorted(layer.ops, ops) for layer, ops in columns)
        counts = [len(layer.ops) for layer in self.layers]
        return every[representatives[np.ravel_multi_index(positions, counts)]]

    @functools.cached_property
    def _classes(self) -> tuple[np.ndarray, np.ndarray]:
        """All architectures int64[N, L], and the first row equal to each, int64[N]."""
        every = np.array(list(itertools.product(*(layer.ops for layer in self.layers))))
        keys = np.stack([self._functions(every), self._weighted(every)], axis=1)
        _, first, same = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        return every, first[same.ravel()]

    def _functions(self, architectures: np.ndarray) -> np.ndarray:
        """uint64[N]: a fingerprint of what each cell computes, 0 for zero.

        A node is a wrapping sum of the fingerprints of its edges; an op mixes that of
        its source with its own number.
        """
        nodes = np.zeros((self.num_nodes, len(architectures)), np.uint64)
        nodes[0] = 1
        is_zero, is_identity = self._is_kind(ZERO), self._is_kind("identity")
        is_passing = self._is_kind(*PASSING)
        for edge, (source, target) in enumerate(self.edges):
            op, value = architectures[:, edge], nodes[source]
            vanishes = is_zero[op] | (is_passing[op] & (value == 0))
            mixed = _mix(value ^ _mix(op.astype(np.uint64) + np.uint64(1)))
            edge_value = np.where(is_identity[op], value, mixed)
            nodes[target] += np.where(vanishes, np.uint64(0), edge_value)
        return nodes[-1]

    def _weighted(self, architectures: np.ndarray) -> np.ndarray:
        """uint64[N]: how often each op with parameters occurs, as one number."""
        weights = (len(self.edges) + 1) ** np.arange(self.num_ops)
        weights[self._is_kind(ZERO, *PASSING)] = 0
        return weights[architectures].sum(1).astype(np.uint64)

    def _is_kind(self, *kinds: str) -> np.ndarray:
        """bool[O]."""
        return np.array([op.kind in kinds for op in self.ops])


def _mix(values: np.ndarray) -> np.ndarray:
    """Scatter 64-bit numbers (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
