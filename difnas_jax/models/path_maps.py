"""The feature maps of several paths between two layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class PathMaps(NamedTuple):
    """The feature maps of K paths.

    Attributes:
      maps: S feature maps of one shape. One, if all paths have the same; else K.
      slots: int32[K], which of the maps is that of each path.
    """

    maps: tuple[Array, ...]
    slots: Array

    @classmethod
    def of(cls, maps: tuple[Array, ...], paths: int) -> PathMaps:
        """One map for all of the K paths, or one for each in their order."""
        slots = jnp.arange(paths) if len(maps) > 1 else jnp.zeros(paths, jnp.int32)
        return cls(maps, slots)

    def __add__(self, other: PathMaps) -> PathMaps:
        """The sums of the maps of each path."""
        pairs = zip(self.in_order(), other.in_order(), strict=True)
        return PathMaps.of(
            tuple(one + another for one, another in pairs), len(self.slots)
        )

    def each(self, run: Callable[[Array], Array]) -> PathMaps:
        """What all paths have in common, once for every map."""
        return self._replace(maps=tuple(map(run, self.maps)))

    def arranged(self, order: Array) -> tuple[Array, ...]:
        """The map of each path, for the paths in the order int32[K], a permutation."""
        if len(self.maps) == 1:
            return self.maps * len(order)
        return permute(self.maps, self.slots[order])

    def in_order(self) -> tuple[Array, ...]:
        """The map of each path."""
        return self.arranged(jnp.arange(len(self.slots)))


@jax.custom_vjp
def permute(maps: tuple[Array, ...], order: Array) -> tuple[Array, ...]:
    """The maps in the order of a permutation, int32[K].

    Backward, the cotangents in that of the inverse permutation. JAX would add each of
    them to zeros for all maps: it cannot know that no map comes twice.
    """
    stacked = jnp.stack(maps)
    return tuple(stacked[source] for source in order)


def _permute_forward(
    maps: tuple[Array, ...], order: Array
) -> tuple[tuple[Array, ...], Array]:
    return permute(maps, order), order


def _permute_backward(
    order: Array, cotangents: tuple[Array, ...]
) -> tuple[tuple[Array, ...], None]:
    return permute(cotangents, jnp.argsort(order)), None


permute.defvjp(_permute_forward, _permute_backward)


def fair_order(ops: Array, count: int) -> Array:
    """Order the paths so that their ops come one after another, again and again.

    Args:
      ops: int32[K], the op of each path among those of the layer.
      count: M, how many ops the layer has; each is taken by K // M paths at least.

    Returns:
      int32[K]: the paths of ops 0 ... M - 1, then likewise, K // M times in all, then
      those of the K % M ops that are taken once more.
    """
    earlier = jnp.tril(ops[:, None] == ops, -1).sum(-1)  # paths before it with its op
    return jnp.argsort(earlier * count + ops)
