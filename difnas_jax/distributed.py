"""Devices: one mesh axis over which batches are split."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from difnas_jax.errors import InputError

# The one axis of the mesh.
DEVICES = "data"
OVER_DEVICES = PartitionSpec(DEVICES)


def is_main_process() -> bool:
    """Whether this process writes files and shows progress."""
    return jax.process_index() == 0


def data_mesh() -> Mesh:
    """All devices along one axis, `data`."""
    return Mesh(np.array(jax.devices()), (DEVICES,))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Copy every leaf to every device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def shard_batch(batch: Any, mesh: Mesh, spec: PartitionSpec = OVER_DEVICES) -> Any:
    """Put every leaf [B, ...] on the devices, split along its first axis by default."""
    return jax.device_put(batch, NamedSharding(mesh, spec))


def check_divides(name: str, batch_size: int) -> None:
    """Raise `InputError` unless the batch splits evenly over the devices."""
    devices = jax.device_count()
    if batch_size % devices:
        raise InputError(
            f"{name}: expected a multiple of the {devices} devices, got {batch_size}"
        )
