"""What is counted without a network: the null rows beside every score."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from difnas_jax.ranking import path_counts
from difnas_jax.scoring.proxies.base import Column
from difnas_jax.spaces.costs import MACS, PARAMS, cost_table
from difnas_jax.spaces.image import ImageSpace


class Count(NamedTuple):
    """A number that needs no network.

    Attributes:
      measure: (space, int64[N, L]) -> float64[N] by column.
      columns: the columns that it makes.
    """

    measure: Callable[[ImageSpace, np.ndarray], dict[str, np.ndarray]]
    columns: Mapping[str, Column]


def costs(space: ImageSpace, architectures: np.ndarray) -> dict[str, np.ndarray]:
    """Multiply-adds and parameters of the whole networks."""
    found = cost_table(space).of(architectures)
    return {name: found[name].astype(np.float64) for name in (MACS, PARAMS)}


def structure(space: ImageSpace, architectures: np.ndarray) -> dict[str, np.ndarray]:
    """Live ops and paths of the graph, see `path_counts.structure`."""
    found = path_counts.structure(space, architectures)
    return {name: values.astype(np.float64) for name, values in found.items()}


COSTS = Count(
    costs, columns={MACS: Column("multiply-adds"), PARAMS: Column("parameters")}
)
STRUCTURE = Count(
    structure,
    columns={
        "live_convs": Column("ops with weights from input to output"),
        "large_convs": Column("those with kernels above 1 pixel"),
        "depth": Column("most ops with weights on a path"),
        "large_depth": Column("most large ones on a path"),
        "unpooled_depth": Column("most ops with weights on a path without pooling"),
        "unpooled_paths": Column("paths without pooling"),
        "pool_paths": Column("paths that pool and have no weights", False),
        "skip": Column("whether a path changes nothing"),
    },
)
