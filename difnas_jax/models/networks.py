"""The networks over spaces: supernet, and the found network as the same code.

The found network is the supernet over a space of size one, `space.cut(architecture)`,
and its variables are a subtree of the supernet's.
"""

from collections.abc import Callable
from typing import Any

from difnas_jax.models.cells import CellNetwork
from difnas_jax.models.chain import Supernet
from difnas_jax.models.dense import DenseNetwork
from difnas_jax.models.network import Network
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.cell import CellSpace
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.dense import DenseSpace

NETWORKS: dict[type[SearchSpace], Callable[..., Network]] = {
    CellSpace: CellNetwork,
    ChainSpace: Supernet,
    DenseSpace: DenseNetwork,
}


def network(space: SearchSpace, **options: Any) -> Network:
    """The network over a space; over a space of size one, the found network.

    Args:
      space: the search space.
      **options: the other attributes of `Network`.
    """
    return NETWORKS[type(space)](space, **options)
