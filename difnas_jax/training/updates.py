"""The updates of a training: what each is given, and what the next ones would do."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.data import Loader, TrainBatches
from difnas_jax.training.paths import Learn, Memory
from difnas_jax.training.steps import TrainState, TrainStep


@dataclasses.dataclass(frozen=True)
class Updates:
    """The updates of a training.

    Attributes:
      total: how many, those of an earlier run included.
      train_step: the compiled step.
      paths: (step, memory) -> int32[K, L], the paths of that update.
      batches: step -> batch.
      to_devices: batch -> the same on the devices.
      learn: see `paths.Sampler`.
    """

    total: int
    train_step: TrainStep
    paths: Callable[[int, Memory], Array]
    batches: TrainBatches
    to_devices: Callable[[Any], Any]
    learn: Learn | None = None

    def learned(
        self, state: TrainState, done: int
    ) -> tuple[TrainState, dict[str, float]]:
        """The state after what is learned between two updates, and metrics of it."""
        if self.learn is None:
            return state, {}
        memory, found = self.learn(done, state.variables, state.memory)
        return state.replace(memory=memory), found

    def ahead(self, state: TrainState, count: int) -> TrainState:
        """The state after the next updates, with the paths and batches of the training.

        Args:
          state: where to start; it stays as it is.
          count: how many updates.
        """
        # The step takes the memory of the state that it is given.
        state = _copied(state)
        steps = range(int(state.step), int(state.step) + count)
        with Loader(self.batches, steps, self.to_devices) as batches:
            for step, batch in zip(steps, batches, strict=False):
                paths = self.paths(step, state.memory)
                state, _ = self.train_step(state, batch, paths)
                state, _ = self.learned(state, step + 1)
                jax.block_until_ready(state)
        return state


@jax.jit
def _copied(tree: Any) -> Any:
    """Every array in memory of its own."""
    return jax.tree.map(jnp.copy, tree)
