"""Devices: one mesh axis over which batches are split."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from difnas_jax.errors import InputError, one_line, require

# The one axis of the mesh.
DEVICES = "data"
OVER_DEVICES = PartitionSpec(DEVICES)


def check_devices(expected: int) -> None:
    """Refuse to start with fewer devices than expected, or with 64-bit numbers.

    Args:
      expected: devices of all processes together; 0 accepts any number.

    Raises:
      InputError: there are fewer devices, JAX has no device of the platform that
        `JAX_PLATFORMS` names, or `JAX_ENABLE_X64` is set.
    """
    wide = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue]
    require(not wide, "JAX_ENABLE_X64", "it unset, as networks are float32", wide)
    count = device_count(expected)
    if count < expected:
        raise InputError(
            f"devices: expected {expected}, got {count} {jax.default_backend()} "
            f"device(s) on {jax.process_count()} process(es); start the missing ones, "
            "or set devices to 0 to use those that are there"
        )


def device_count(expected: int = 0) -> int:
    """How many devices there are.

    Args:
      expected: how many should be, for the error.

    Raises:
      InputError: JAX has none: no device of the platform that `JAX_PLATFORMS` names, or
        one that another program holds.
    """
    try:
        return jax.device_count()
    except (RuntimeError, AssertionError) as error:
        none = f"devices: expected {expected or 'some'}, JAX has none"
        raise InputError(f"{none}; see JAX_PLATFORMS ({one_line(error)})") from error


def check_divides(name: str, batch_size: int) -> None:
    """Raise `InputError` unless the batch splits evenly over the devices."""
    devices = jax.device_count()
    fits = batch_size % devices == 0
    require(fits, name, f"a multiple of the {devices} devices", batch_size)


def rounded_up(batch_size: int) -> int:
    """The next batch that splits evenly over the devices."""
    return batch_size + -batch_size % jax.device_count()


def evenly(batch_size: int, mesh: Mesh) -> PartitionSpec:
    """Split over the devices where they divide the batch, else whole on each."""
    return PartitionSpec() if batch_size % mesh.size else OVER_DEVICES


def programs_in_flight() -> int:
    """How many programs may be queued on the devices at once.

    Virtual CPU devices share a pool of threads: if threads wait in the collectives of
    several programs, none may be left to end the wait.
    """
    virtual = jax.default_backend() == "cpu" and jax.device_count() > 1
    return 1 if virtual else 4


def data_mesh() -> Mesh:
    """All devices along one axis, `data`; those of a process are consecutive."""
    devices = sorted(jax.devices(), key=lambda device: device.process_index)
    return Mesh(np.array(devices), (DEVICES,))


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Copy every leaf, the same on all processes, to every device."""
    sharding = replicated(mesh)

    def copied(leaf: Any) -> jax.Array:
        array = np.asarray(leaf)
        return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)

    return jax.tree.map(copied, tree)


def own_rows(batch_size: int, mesh: Mesh, spec: PartitionSpec = OVER_DEVICES) -> slice:
    """The rows of a batch that the devices of this process hold."""
    sharding = NamedSharding(mesh, spec)
    indices = sharding.addressable_devices_indices_map((batch_size,)).values()
    bounds = [index[0].indices(batch_size) for index in indices if index]
    return slice(min(start for start, *_ in bounds), max(stop for _, stop, _ in bounds))


def shard_batch(batch: Any, mesh: Mesh, spec: PartitionSpec = OVER_DEVICES) -> Any:
    """Put a batch on the devices, split along its first axis by default.

    This is no collective, so that it may run at the same time as a training step.

    Args:
      batch: leaves [rows, ...], the `own_rows` of this process.
      mesh: the devices.
      spec: how the batch is split over them.

    Returns:
      Leaves [B, ...].
    """
    sharding = NamedSharding(mesh, spec)
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, leaf), batch
    )
