"""Training-free scores of many architectures, by programs that are compiled once."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any, Self

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import PartitionSpec
from ml_collections import ConfigDict

from difnas_jax import data
from difnas_jax.config.build import build_space
from difnas_jax.data import Normalizer
from difnas_jax.models.initializers import initialize
from difnas_jax.models.network import Network
from difnas_jax.models.networks import network
from difnas_jax.ops.layout import BATCH_LAST, CHANNELS_LAST
from difnas_jax.runtime import compilation
from difnas_jax.runtime.mesh import (
    OVER_DEVICES,
    data_mesh,
    own_rows,
    replicate,
    shard_batch,
)
from difnas_jax.runtime.processes import check_same_arrays
from difnas_jax.scoring.proxies import PROXIES, PROXY_OF
from difnas_jax.scoring.proxies.base import Apply, Proxy, on_host
from difnas_jax.scoring.proxies.counts import Count
from difnas_jax.scoring.proxies.inputs import INPUTS, Source
from difnas_jax.scoring.proxies.networks import REDUCTIONS
from difnas_jax.spaces.image import ImageSpace
from difnas_jax.spaces.layer_indicator import LAYER_INDICATORS

EVERYWHERE = PartitionSpec()
DEPTHWISE = "qr"  # of the orthogonal family, should a caller ask for it


@dataclasses.dataclass(frozen=True)
class Program:
    """A proxy on networks with one drawing of initial values and images.

    All devices of all processes work, each on an architecture of its own, without
    communication. The program is compiled at the first call and serves every path. Each
    device holds the variables of the supernet, the activations of one batch, and what
    the proxy observes: of the NTK 2 B rows of as many numbers as there are weights.

    Attributes:
      proxy: what is measured.
      model: the supernet, of reduced size.
      inputs: its variables, the images and the labels, on all devices.
    """

    proxy: Proxy
    model: Network
    inputs: tuple[Any, Any, Any]

    @classmethod
    def of(
        cls,
        proxy: Proxy,
        space: ImageSpace,
        source: Source,
        kernels: str,
        seed: int,
    ) -> Self:
        """Draw initial values and images.

        Args:
          proxy: what is measured.
          space: the whole one.
          source: of the images.
          kernels: key of `KERNEL_RULES`.
          seed: of the initial values.
        """
        model = scored_network(proxy, space)
        variables = initialize(model, seed, kernels=kernels, depthwise=DEPTHWISE)
        images, labels = INPUTS[proxy.images](source, model.space, proxy.batch)
        mesh = data_mesh()
        return cls(proxy, model, replicate((variables, images, labels), mesh))

    def __call__(self, paths: np.ndarray) -> Iterator[dict[str, float]]:
        """The columns of each of some paths.

        Args:
          paths: int32[N, L], or weights of ops float32[N, L, O].
        """
        mesh, devices = data_mesh(), jax.device_count()
        for start in range(0, len(paths), devices):
            part = paths[start : start + devices]
            # One program serves every call: the last one repeats some paths.
            full = np.resize(part, (devices, *part.shape[1:]))
            placed = shard_batch(full[own_rows(devices, mesh)], mesh)
            found = self._compiled(*self.inputs, placed)
            gathered = multihost_utils.process_allgather(found, tiled=True)
            for row in range(len(part)):
                one = jax.tree.map(lambda leaf, row=row: leaf[row], gathered)
                yield self.proxy.conclude(on_host(one))

    @functools.cached_property
    def _compiled(self) -> Any:
        def of_device(variables: Any, images: Any, labels: Any, paths: Any) -> Any:
            apply = Apply(self.model, paths[0])
            found = self.proxy.observe(apply, variables, images, labels)
            return jax.tree.map(lambda leaf: leaf[None], found)

        function = jax.shard_map(
            of_device,
            mesh=data_mesh(),
            in_specs=(EVERYWHERE, EVERYWHERE, EVERYWHERE, OVER_DEVICES),
            out_specs=OVER_DEVICES,
            check_vma=False,
        )
        return compilation.compiled(function, frozen=False)


def scored_network(proxy: Proxy, space: ImageSpace) -> Network:
    """The supernet on which a proxy measures the architectures of a space."""
    # Each device has whole batches of its own, which on the CPU may lie last.
    layout = BATCH_LAST if jax.default_backend() == "cpu" else CHANNELS_LAST
    # Of the found networks, which have no batch norms that only score.
    plain = LAYER_INDICATORS["plain"](REDUCTIONS[proxy.network](space))
    return network(
        plain.sampled,
        dropout=0.0,
        dtype="float32",
        rematerialize=False,
        layout=layout,
        **proxy.options,
    )


@dataclasses.dataclass(frozen=True)
class ProxyMeasure:
    """Training-free columns of architectures of one space.

    Attributes:
      space: of the architectures.
      columns: the columns that are wanted.
      programs: of each proxy that needs a network, one for each repeat.
    """

    space: ImageSpace
    columns: tuple[str, ...]
    programs: dict[str, list[Program]]

    @property
    def images(self) -> int:
        """Images that pass through networks for one architecture."""
        return sum(
            program.inputs[2].size
            for repeats in self.programs.values()
            for program in repeats
        )

    def __call__(self, architectures: np.ndarray) -> dict[str, np.ndarray]:
        """The mean over repeats of each column.

        Args:
          architectures: int[N, L].

        Returns:
          float64[N] by column; NaN or infinite where there is no number.
        """
        check_same_arrays("scores without training", {"paths": architectures})
        found: dict[str, np.ndarray] = {}
        for row in PROXIES.values():
            if isinstance(row, Count) and set(row.columns) & set(self.columns):
                found |= row.measure(self.space, architectures)
        for name, values in self._repeats(architectures.astype(np.int32)).items():
            found[name] = values.mean(1)
        return {name: found[name] for name in self.columns}

    def of_subsets(self, allowed: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of supernets in which each layer is the mean of the ops left.

        Args:
          allowed: bool[N, L, O], at least one op in each layer.

        Returns:
          float64[N, R] by column that needs a network, one for each repeat.
        """
        check_same_arrays("scores without training", {"allowed": allowed})
        weights = allowed / allowed.sum(-1, keepdims=True)
        found = self._repeats(weights.astype(np.float32))
        return {name: found[name] for name in self.columns if name in found}

    def by_proxy(self) -> dict[str, Self]:
        """The same, of each proxy on its own."""
        parts: dict[str, list[str]] = {}
        for column in self.columns:
            parts.setdefault(PROXY_OF[column], []).append(column)
        return {
            name: type(self)(
                self.space, tuple(columns), {name: self.programs.get(name, [])}
            )
            for name, columns in parts.items()
        }

    def _repeats(self, paths: np.ndarray) -> dict[str, np.ndarray]:
        """float64[N, R] by column."""
        found: dict[str, list[list[float]]] = {}
        for repeats in self.programs.values():
            for program in repeats:
                rows = list(program(paths))
                for column in program.proxy.columns:
                    values = [row[column] for row in rows]
                    found.setdefault(column, []).append(values)
        return {name: np.array(values).T for name, values in found.items()}


def proxy_columns(config: ConfigDict, names: Sequence[str]) -> ProxyMeasure:
    """Prepare the measurement of some columns; it is compiled when it is first called.

    Repeats differ by initial values and images; all architectures see the same ones, so
    that scores are paired.

    Args:
      config: of the space, the data, the seed, and `method.proxy_repeats` and
        `method.proxy_kernels`.
      names: keys of `COLUMNS`.

    Raises:
      InputError: missing data, or no validation split where one is needed.
    """
    space = build_space(config)
    programs: dict[str, list[Program]] = {}
    rows = {PROXY_OF[column]: PROXIES[PROXY_OF[column]] for column in names}
    proxies = {name: row for name, row in rows.items() if isinstance(row, Proxy)}
    if not proxies:  # what is counted needs no data
        return ProxyMeasure(space, tuple(names), programs)
    dataset = data.load(config)
    normalizer = Normalizer.of(config, dataset.train)
    for name, proxy in proxies.items():
        seeds = range(config.seed, config.seed + config.method.proxy_repeats)
        kernels = config.method.proxy_kernels or proxy.kernels
        programs[name] = [
            Program.of(
                proxy,
                space,
                Source(dataset, normalizer, np.random.default_rng([seed, 0])),
                kernels,
                seed,
            )
            for seed in seeds
        ]
    return ProxyMeasure(space, tuple(names), programs)
