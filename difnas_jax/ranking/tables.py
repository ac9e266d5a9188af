"""Published tables of trained networks."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np

from difnas_jax import spaces
from difnas_jax.errors import InputError, one_line
from difnas_jax.spaces.costs import cost_table

LAYERS = 8  # of NAS-Bench-Macro


@dataclasses.dataclass(frozen=True)
class BenchmarkTable:
    """N architectures with their accuracies.

    Attributes:
      names: str[N], as the benchmark writes them.
      architectures: int64[N, L], the same as op indices.
      accuracies: float64[N], percent on the test set, mean over trainings.
      network: int64[N], number of the network that an architecture stands for, from 0;
        several architectures may be one network.
      costs: int64[N] by name, `macs` and `params`.
    """

    names: np.ndarray
    architectures: np.ndarray
    accuracies: np.ndarray
    network: np.ndarray
    costs: dict[str, np.ndarray]

    def __len__(self) -> int:
        """N."""
        return len(self.names)

    def __getitem__(self, rows: np.ndarray) -> BenchmarkTable:
        """Some of the architectures, int[M] or bool[N]; networks keep their numbers."""
        names, architectures = self.names[rows], self.architectures[rows]
        accuracies, network = self.accuracies[rows], self.network[rows]
        costs = {name: values[rows] for name, values in self.costs.items()}
        return BenchmarkTable(names, architectures, accuracies, network, costs)

    @property
    def first_of_network(self) -> np.ndarray:
        """int64[M]: for each network the index of its first architecture.

        `table[table.first_of_network]` has every network once.
        """
        return np.unique(self.network, return_index=True)[1]


def read_nas_bench_macro(path: Path) -> BenchmarkTable:
    """Read the table of NAS-Bench-Macro, or a part of it, in its published format.

    The format is `{"01201201": {"mean_acc": 91.2, ...}, ...}`; any subset of the 6,561
    names is allowed, which stand for 3,969 networks. Costs are those at 32 pixels,
    counted by `spaces.costs`.

    Source: Su et al., "Prioritized architecture sampling with Monto-Carlo tree search",
    CVPR 2021, arXiv 2103.11922.

    Args:
      path: the JSON file.

    Raises:
      InputError: the file is missing or malformed, or has fewer than two networks.
    """
    try:
        entries = json.loads(Path(path).read_text())
        if not isinstance(entries, dict) or len(entries) < 2:
            raise ValueError("not an object of at least two networks")
        for name, entry in entries.items():
            if len(name) != LAYERS or set(name) - set("012"):
                raise ValueError(f"{name!r} is not a string of {LAYERS} digits 0 to 2")
            if not math.isfinite(accuracy := entry["mean_acc"]):
                raise ValueError(f"mean_acc of {name!r} is {accuracy!r}")
        architectures = np.array([[*name] for name in entries], np.int64)
        accuracies = np.array([entry["mean_acc"] for entry in entries.values()], float)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: expected a table of NAS-Bench-Macro, but it cannot be read "
            f"({one_line(error)})"
        ) from error
    space = spaces.build(
        "nas_bench_macro", image_size=32, image_channels=3, num_classes=10
    )
    canonical = space.canonical(architectures)
    network = np.unique(canonical, axis=0, return_inverse=True)[1].ravel()
    if len(np.unique(network)) < 2:
        raise InputError(
            f"{path}: expected at least two networks, got {len(entries)} names of one"
        )
    return BenchmarkTable(
        names=np.array([*entries]),
        architectures=architectures,
        accuracies=accuracies,
        network=network,
        costs=cost_table(space).of(canonical),
    )
