"""The published table of NAS-Bench-Macro, or any part of it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from difnas_jax import spaces
from difnas_jax.errors import InputError
from difnas_jax.runtime.files import unreadable
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import cost_table


def macro_space(image_size: int = 32) -> SearchSpace:
    """The space of the benchmark; its costs are those at 32 pixels."""
    return spaces.build(
        "nas_bench_macro", image_size=image_size, image_channels=3, num_classes=10
    )


@dataclasses.dataclass(frozen=True)
class MacroTable:
    """N names of networks with their accuracies.

    Attributes:
      names: N strings of 8 digits.
      architectures: int64[N, 8], the same as op indices.
      accuracies: float64[N], percent on the test set of CIFAR-10, mean of trainings.
      network: int64[N], number of the network that a name stands for, from 0; several
        names stand for one network.
      macs, params: int64[N], costs at 32 pixels.
    """

    names: tuple[str, ...]
    architectures: np.ndarray
    accuracies: np.ndarray
    network: np.ndarray
    macs: np.ndarray
    params: np.ndarray

    def __len__(self) -> int:
        """N."""
        return len(self.names)

    def __getitem__(self, rows: np.ndarray) -> MacroTable:
        """Some of the names, int[M] or bool[N]; networks keep their numbers."""
        index = np.arange(len(self))[rows]
        names = tuple(self.names[row] for row in index)
        fields = "architectures", "accuracies", "network", "macs", "params"
        return MacroTable(names, *(getattr(self, field)[index] for field in fields))

    def once(self) -> MacroTable:
        """Every network once, by its first name."""
        return self[np.unique(self.network, return_index=True)[1]]


def load_table(path: Path) -> MacroTable:
    """Read a table in the published JSON format.

    `{"01201201": {"mean_acc": 91.2, ...}, ...}` with any subset of the 6561 names.

    Raises:
      InputError: missing, malformed, or fewer than two networks.
    """
    try:
        entries = json.loads(Path(path).read_text())
        if not isinstance(entries, dict):
            raise ValueError(f"a {type(entries).__name__}")
        accuracies = [_accuracy(name, entry) for name, entry in entries.items()]
        architectures = [_architecture(name) for name in entries]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise unreadable(path, "a table of NAS-Bench-Macro", error) from error
    space = macro_space()
    architectures = np.array(architectures, np.int64).reshape(-1, space.num_layers)
    canonical = space.canonical(architectures)
    network = np.unique(canonical, axis=0, return_inverse=True)[1].ravel()
    if len(np.unique(network)) < 2:
        raise InputError(
            f"{path}: expected at least two different networks, got "
            f"{len(np.unique(network))}"
        )
    costs = cost_table(space).of(canonical)
    return MacroTable(
        tuple(entries), architectures, np.array(accuracies), network, **costs
    )


def _accuracy(name: str, entry: Any) -> float:
    value = entry["mean_acc"]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise ValueError(f"mean_acc of {name!r} is {value!r}")
    return float(value)


def _architecture(name: str) -> list[int]:
    layers = macro_space().num_layers
    if len(name) != layers or set(name) - set("012"):
        raise ValueError(f"{name!r} is not a string of {layers} digits 0 to 2")
    return [int(digit) for digit in name]
