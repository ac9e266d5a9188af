"""What is counted without a network: the null rows beside every score."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

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


def live_convs(space: ImageSpace, architectures: np.ndarray) -> dict[str, np.ndarray]:
    """How many ops with parameters lie on a path from the input to the output."""
    weighted = cost_table(space).tables[PARAMS] > 0  # [L, O]
    chosen = weighted[np.arange(space.num_layers), architectures]
    live = space.on_a_path(architectures)
    return {"live_convs": (chosen & live).sum(1).astype(np.float64)}


COSTS = Count(
    costs, columns={MACS: Column("multiply-adds"), PARAMS: Column("parameters")}
)
LIVE_CONVS = Count(
    live_convs,
    columns={"live_convs": Column("ops with parameters from input to output")},
)
