"""The network of a space, by the kind of the space."""

from collections.abc import Callable
from typing import Any

from difnas_jax.models.cell import CellNetwork
from difnas_jax.models.supernet import Network, Supernet
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.chain import ChainSpace

NETWORKS: dict[type[SearchSpace], Callable[..., Network]] = {
    CellSpace: CellNetwork,
    ChainSpace: Supernet,
}


def network(space: SearchSpace, **options: Any) -> Network:
    """The network over a space; over a space of size one, the found network.

    Args:
      space: the search space.
      **options: the other attributes of `Network`.
    """
    return NETWORKS[type(space)](space, **options)
