"""How an update of several paths is spread over devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from difnas_jax.errors import InputError
from difnas_jax.runtime.mesh import DEVICES, OVER_DEVICES


def _over_batch(gradients: Callable[..., Any], mesh: Mesh | None) -> Any:
    return gradients


def _over_paths(gradients: Callable[..., Any], mesh: Mesh | None) -> Any:
    """Each device scans over its own paths; sums follow at the end.

    Without a collective inside the paths: devices that take different branches would
    wait for each other, or mix the statistics of different candidates.
    """
    if mesh is None:
        raise InputError("placement `paths`: expected a mesh of devices, got none")
    spread, whole = OVER_DEVICES, PartitionSpec()

    def local(*arguments: Any) -> Any:
        batch_stats, sums = gradients(*arguments)
        return batch_stats, jax.lax.psum(sums, DEVICES)

    # With the check on, a switch on an index that differs between devices would pass
    # for replicated, and sums would silently be missing.
    run = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(whole, whole, whole, whole, spread),
        out_specs=whole,
        check_vma=False,
    )

    def padded(*arguments: Any) -> Any:
        *others, numbered = arguments
        missing = -len(numbered[0]) % mesh.size
        # Devices without a path repeat the last one with weight 0.
        numbers, paths, weights = numbered
        numbers = jnp.pad(numbers, (0, missing), mode="edge")
        paths = jnp.pad(paths, ((0, missing), (0, 0)), mode="edge")
        weights = jnp.pad(weights, (0, missing))
        return run(*others, (numbers, paths, weights))

    return padded


class Placement(NamedTuple):
    """How an update of several paths is spread over devices.

    Attributes:
      batch: how the images of an update lie on the devices.
      place: (function that sums the gradients of some paths, mesh) -> the same for all
        paths.
    """

    batch: PartitionSpec
    place: Callable[[Callable[..., Any], Mesh | None], Any]


PLACEMENTS: dict[str, Placement] = {
    # Every device has a part of the images and runs every path; batch-norm statistics
    # are those of the whole batch, by a collective in each batch norm.
    "batch": Placement(OVER_DEVICES, _over_batch),
    # Every device has all images and runs some of the paths; batch-norm statistics are
    # those of the whole batch, without a collective.
    "paths": Placement(PartitionSpec(), _over_paths),
}
