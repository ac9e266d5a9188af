"""Settings of JAX that the program relies on, whatever environment or notebook say."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import jax

# Two kinds: strict modes, with which a user looks for mistakes in code of their own and
# under which ours does not run (`JAX_NUMPY_RANK_PROMOTION=raise`); and those from which
# other random numbers follow, so that the same seed would not give the same bits.
STANDARD: dict[str, Any] = {
    "jax_numpy_rank_promotion": "allow",
    "jax_numpy_dtype_promotion": "standard",
    "jax_transfer_guard": "allow",  # which sets the next three as well
    "jax_transfer_guard_host_to_device": "allow",
    "jax_transfer_guard_device_to_host": "allow",
    "jax_transfer_guard_device_to_device": "allow",
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
}

_lock = threading.Lock()
_before: dict[str, Any] = {}  # the settings before the first use of those that go on
_uses = [0]


@contextlib.contextmanager
def standard_settings() -> Iterator[None]:
    """Use `STANDARD`, on all threads, and leave the settings as they were.

    Where several threads do so, the last one to end leaves them as the first found
    them.
    """
    with _lock:
        if not _uses[0]:
            _before.update({name: getattr(jax.config, name) for name in STANDARD})
        _uses[0] += 1
        _update(STANDARD)
    try:
        yield
    finally:
        with _lock:
            _uses[0] -= 1
            if not _uses[0]:
                _update(_before)


def _update(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)


@contextlib.contextmanager
def lenient_modes() -> Iterator[None]:
    """No strict modes, on this thread alone: for what draws no random numbers."""
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.transfer_guard("allow"),
    ):
        yield
