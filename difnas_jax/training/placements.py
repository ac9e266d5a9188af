"""How an update of several paths is spread over devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from difnas_jax.errors import InputError
from difnas_jax.runtime.mesh import DEVICES, OVER_DEVICES


class PathsInOrder(NamedTuple):
    """Some paths of an update.

    Attributes:
      positions: int32[N], of each among the K paths.
      paths: int32[N, L].
      weights: float32[N], 0 for one that only fills up.
    """

    positions: Array
    paths: Array
    weights: Array


# (what all paths of an update share, the paths) -> (batch statistics, sums over paths)
Gradients = Callable[[Any, PathsInOrder], tuple[Any, Any]]


def _over_batch(gradients: Gradients, mesh: Mesh | None) -> Gradients:
    return gradients


def _over_paths(gradients: Gradients, mesh: Mesh | None) -> Gradients:
    """Each device scans over its own paths; sums follow at the end.

    Without a collective inside the paths: devices that take different branches would
    wait for each other, or mix the statistics of different candidates.
    """
    if mesh is None:
        raise InputError("placement `paths`: expected a mesh of devices, got none")
    whole = PartitionSpec()

    def local(shared: Any, own: PathsInOrder) -> tuple[Any, Any]:
        batch_stats, sums = gradients(shared, own)
        return batch_stats, jax.lax.psum(sums, DEVICES)

    # With the check on, a switch on an index that differs between devices would pass
    # for replicated, and sums would silently be missing.
    run = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(whole, OVER_DEVICES),
        out_specs=whole,
        check_vma=False,
    )

    def padded(shared: Any, every: PathsInOrder) -> tuple[Any, Any]:
        # Devices without a path repeat the last one with weight 0.
        missing = -len(every.positions) % mesh.size
        positions = jnp.pad(every.positions, (0, missing), mode="edge")
        paths = jnp.pad(every.paths, ((0, missing), (0, 0)), mode="edge")
        weights = jnp.pad(every.weights, (0, missing))
        return run(shared, PathsInOrder(positions, paths, weights))

    return padded


class Placement(NamedTuple):
    """How an update of several paths is spread over devices.

    Attributes:
      batch: how the images of an update lie on the devices.
      spread: (function that sums the gradients of some paths, mesh) -> the same for all
        paths of an update.
    """

    batch: PartitionSpec
    spread: Callable[[Gradients, Mesh | None], Gradients]


PLACEMENTS: dict[str, Placement] = {
    # Every device has a part of the images and runs every path; batch-norm statistics
    # are those of the whole batch, by a collective in each batch norm.
    "batch": Placement(OVER_DEVICES, _over_batch),
    # Every device has all images and runs some of the paths; batch-norm statistics are
    # those of the whole batch, without a collective.
    "paths": Placement(PartitionSpec(), _over_paths),
}
