"""Buffers in which the branches of a switch keep arrays: all branches the same ones."""

import collections
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

# What a buffer is for: arrays of one shape and type.
_key = operator.attrgetter("shape", "dtype")


def buffer_counts(branches: Iterable[Sequence[Any]]) -> collections.Counter:
    """How many buffers of each shape and type are enough for every single branch."""
    counts = collections.Counter()
    for kept in branches:
        counts |= collections.Counter(map(_key, kept))  # the larger count
    return counts


def filled(counts: collections.Counter, kept: Sequence[Array]) -> list[Array]:
    """Write what a branch keeps into the buffers, and zeros into the others."""
    buffers = []
    for key, count in counts.items():
        own = [leaf for leaf in kept if _key(leaf) == key]
        buffers += own + [jnp.zeros(*key)] * (count - len(own))
    return buffers


def taken_from(kept: Sequence[Any], buffers: Sequence[Array]) -> list[Array]:
    """The arrays of these shapes, from the buffers, in the order of the branch."""
    waiting = collections.defaultdict(collections.deque)
    for buffer in buffers:
        waiting[_key(buffer)].append(buffer)
    return [waiting[_key(leaf)].popleft() for leaf in kept]
