"""What a method remembers of a training beside its weights.

It lies in `TrainState.memory`, is saved and resumed with the rest, and is read by later
stages. Most methods remember nothing, and retraining never does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

Memory = dict[str, Any]  # arrays by name


class Remembers(NamedTuple):
    """One kind of memory.

    Attributes:
      begin: (T updates, K paths) -> the memory before the first update.
      learn: (memory, step, losses of its paths float32[K]) -> the memory after it.
    """

    begin: Callable[[int, int], Memory]
    learn: Callable[[Memory, Array, Array], Memory]


def _begin_path_losses(steps: int, paths: int) -> Memory:
    """`path_losses`: float32[T, K], 0 for updates to come."""
    return {"path_losses": jnp.zeros((steps, paths), jnp.float32)}


def _learn_path_losses(memory: Memory, step: Array, losses: Array) -> Memory:
    return {"path_losses": memory["path_losses"].at[step, : len(losses)].set(losses)}


MEMORIES: dict[str, Remembers] = {
    "nothing": Remembers(lambda steps, paths: {}, lambda memory, step, losses: memory),
    # The cross-entropy of every path of every update, in nats.
    "path_losses": Remembers(_begin_path_losses, _learn_path_losses),
}
