"""Published tables of trained networks."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from difnas_jax import spaces
from difnas_jax.errors import InputError, one_line
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import cost_table

LAYERS = 8  # of NAS-Bench-Macro
CIFAR10 = "cifar10"
# Columns of a file of NAS-Bench-201 by name of the data set.
ACCURACIES = {
    CIFAR10: "test_c10",
    "cifar100": "test_c100",
    "imagenet16_120": "test_in16",
}
COSTS = {"params": "params", "macs": "flops"}  # the same for the costs


@dataclasses.dataclass(frozen=True)
class BenchmarkTable:
    """N architectures with their accuracies.

    Attributes:
      space: of the architectures, as the benchmark trained them on CIFAR-10.
      index: int64[N], number of each in the whole benchmark.
      names: str[N], as the benchmark writes them.
      architectures: int64[N, L], the same as op indices.
      by_data_set: float64[N] by name, percent on a test set, mean over trainings.
      network: int64[N], number of the network that an architecture stands for, from 0;
        several architectures may be one network.
      costs: int64[N] by name, `macs` and `params`.
    """

    space: SearchSpace
    index: np.ndarray
    names: np.ndarray
    architectures: np.ndarray
    by_data_set: dict[str, np.ndarray]
    network: np.ndarray
    costs: dict[str, np.ndarray]

    def __len__(self) -> int:
        """N."""
        return len(self.names)

    def __getitem__(self, rows: np.ndarray) -> BenchmarkTable:
        """Some of the architectures, int[M] or bool[N]; networks keep their numbers."""
        return BenchmarkTable(
            space=self.space,
            index=self.index[rows],
            names=self.names[rows],
            architectures=self.architectures[rows],
            by_data_set={name: a[rows] for name, a in self.by_data_set.items()},
            network=self.network[rows],
            costs={name: values[rows] for name, values in self.costs.items()},
        )

    @property
    def accuracies(self) -> np.ndarray:
        """float64[N], those on CIFAR-10, which every benchmark has."""
        return self.by_data_set[CIFAR10]

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
    space = _build("nas_bench_macro")
    canonical = space.canonical(architectures)
    return _at_least_two(
        path,
        BenchmarkTable(
            space=space,
            index=np.array([int(name, base=3) for name in entries]),
            names=np.array([*entries]),
            architectures=architectures,
            by_data_set={CIFAR10: accuracies},
            network=_numbered(canonical),
            costs=cost_table(space).of(canonical),
        ),
    )


def read_nas_bench_201(path: Path) -> BenchmarkTable:
    """Read a table of NAS-Bench-201, or a part of it, with all three data sets.

    The file is CSV with the columns `index` and `arch` (the official number and
    string), `eq_class`, `test_c10`, `test_c100`, `test_in16`, `params` and `flops`;
    others are ignored. The last two are those of the network for CIFAR-10, which are
    counted again: a file in which they differ is refused.

    `network` is `eq_class`, of which the whole space has 6,466. This published
    partition compares strings: it takes sums that are nested in another way for
    different networks, which `CellSpace.canonical` does not, and ignores an op that
    does not reach the output, which `canonical` keeps apart by its weights.

    Source: Dong and Yang, "NAS-Bench-201: Extending the scope of reproducible neural
    architecture search", ICLR 2020, arXiv 2001.00326.

    Args:
      path: the CSV file.

    Raises:
      InputError: the file is missing or malformed, or has fewer than two networks.
    """
    space = _build("nas_bench_201")
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            rows, known = list(reader), reader.fieldnames or ()
        needed = "index", "arch", "eq_class", *ACCURACIES.values(), *COSTS.values()
        if missing := [name for name in needed if name not in known]:
            raise ValueError(f"no column {missing[0]}")
        if not rows:
            raise ValueError("no rows")
        architectures = np.array([space.parse([row["arch"]]) for row in rows])
        index = np.array([int(row["index"]) for row in rows])
        network = _numbered(np.array([int(row["eq_class"]) for row in rows]))
        costs = cost_table(space, linear="macs_and_bias").of(architectures)
        for name, column in COSTS.items():
            if [int(row[column]) for row in rows] != costs[name].tolist():
                raise ValueError(f"{column} is not that of arch in every row")
        by_data_set = {
            name: np.array([float(row[column]) for row in rows])
            for name, column in ACCURACIES.items()
        }
        if not all(np.isfinite(values).all() for values in by_data_set.values()):
            raise ValueError("an accuracy is not finite")
    except (OSError, ValueError, TypeError, KeyError, IndexError, csv.Error) as error:
        raise InputError(
            f"{path}: expected a table of NAS-Bench-201, but it cannot be read "
            f"({one_line(error)})"
        ) from error
    return _at_least_two(
        path,
        BenchmarkTable(
            space=space,
            index=index,
            names=np.array([row["arch"] for row in rows]),
            architectures=architectures,
            by_data_set=by_data_set,
            network=network,
            costs=costs,
        ),
    )


# Search space -> how to read a table of its benchmark.
TABLES: dict[str, Callable[[Path], BenchmarkTable]] = {
    "nas_bench_201": read_nas_bench_201,
    "nas_bench_macro": read_nas_bench_macro,
}


def _build(name: str) -> SearchSpace:
    """The space of a benchmark at the size at which its costs are published."""
    return spaces.build(name, image_size=32, image_channels=3, num_classes=10)


def _numbered(values: np.ndarray) -> np.ndarray:
    """int64[N]: the number of each row among the different rows, from 0."""
    return np.unique(values, axis=0, return_inverse=True)[1].ravel()


def _at_least_two(path: Path, table: BenchmarkTable) -> BenchmarkTable:
    """The table, which has several networks.

    Raises:
      InputError: it has fewer than two.
    """
    if len(table.first_of_network) < 2:
        raise InputError(
            f"{path}: expected at least two networks, got {len(table)} names of one"
        )
    return table
