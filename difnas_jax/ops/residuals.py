"""What the backward pass of a branch needs, in buffers that all branches share."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array


class Backward(flax.struct.PyTreeNode):
    """The backward pass of one branch, apart from the arrays that it reads.

    `jax.vjp` returns a function that is a tree of arrays. Those that are arguments of
    the branch are known outside of the switch and need not be kept.

    Attributes:
      kept: the intermediates among the arrays.
      sources: for each array of the function, its index in `kept` or, as -1, -2, ...,
        among the arguments of the branch.
      function: structure of the function.
    """

    kept: tuple[Array, ...]
    sources: tuple[int, ...] = flax.struct.field(pytree_node=False)
    function: Any = flax.struct.field(pytree_node=False)

    @classmethod
    def of(cls, function: Any, arguments: Sequence[Array]) -> Backward:
        """Take a function from `jax.vjp` apart."""
        leaves, structure = jax.tree.flatten(function)
        # While the branch is traced, an argument that the function reads is the same
        # Python object in both.
        sources = {id(array): -1 - index for index, array in enumerate(arguments)}
        kept: list[Array] = []
        for leaf in leaves:
            if id(leaf) not in sources:
                sources[id(leaf)] = len(kept)
                kept.append(leaf)
        return cls(tuple(kept), tuple(sources[id(leaf)] for leaf in leaves), structure)

    def __call__(self, kept: Sequence[Array], arguments: Sequence[Array], cotangent):
        """Put the function together again, with these arrays, and call it."""
        arrays = [*kept, *reversed(arguments)]  # -1 is the first argument
        leaves = [arrays[source] for source in self.sources]
        return jax.tree.unflatten(self.function, leaves)(cotangent)


def _key(leaf: Any) -> tuple[Any, ...]:
    return leaf.shape, leaf.dtype


def buffer_counts(branches: Sequence[Backward]) -> collections.Counter:
    """How many buffers of each shape and type are enough for every single branch."""
    counts = collections.Counter()
    for backward in branches:
        counts |= collections.Counter(map(_key, backward.kept))  # the larger count
    return counts


def fill_buffers(counts: collections.Counter, kept: Sequence[Array]) -> list[Array]:
    """Write what a branch keeps into the buffers, and zeros into the others."""
    buffers = []
    for key, count in counts.items():
        own = [leaf for leaf in kept if _key(leaf) == key]
        buffers += own + [jnp.zeros(*key)] * (count - len(own))
    return buffers


def read_buffers(kept: Sequence[Any], buffers: Sequence[Array]) -> list[Array]:
    """What a branch kept, from the buffers, in the order of the branch.

    Args:
      kept: shapes of what the branch keeps.
      buffers: from `fill_buffers`.
    """
    waiting = collections.defaultdict(collections.deque)
    for buffer in buffers:
        waiting[_key(buffer)].append(buffer)
    return [waiting[_key(leaf)].popleft() for leaf in kept]
