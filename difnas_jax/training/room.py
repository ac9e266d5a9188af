"""The log of how much room the projection of updates leaves each op."""

import dataclasses
from pathlib import Path
from typing import Any, Self

import jax

from difnas_jax.runtime.metrics import MetricsWriter
from difnas_jax.training.optim import Packing
from difnas_jax.training.recipe import Recipe
from difnas_jax.training.steps import TrainState

FIELDS = ("step", "ops")


@dataclasses.dataclass
class Room:
    """Writes what is left of every op, see `projection.Projector.room`.

    Attributes:
      path: of the file of JSON lines.
      measure: (memory, nested parameters) -> share by op, compiled.
      writer: of the file, once a row is written.
    """

    path: Path
    measure: Any
    writer: MetricsWriter | None = None

    @classmethod
    def of_supernet(cls, recipe: Recipe, params: Any, path: Path) -> Self | None:
        """That of a supernet with these parameters; None where nothing is projected."""
        projection = recipe.projection(Packing.of(recipe.fates(params)), total=1)
        if not projection.projector.room_name:
            return None
        return cls(path, jax.jit(projection.room))

    def write(self, state: TrainState) -> None:
        """Append a row: `step` and, by op, the `ops`."""
        measured = self.measure(state.memory, state.variables["params"])
        values = jax.device_get(measured)
        step = int(state.step)
        row = {"step": step, "ops": {op: float(value) for op, value in values.items()}}
        if self.writer is None:  # rows from here on are of an earlier run
            self.writer = MetricsWriter(self.path, FIELDS, step - 1)
        self.writer.write(row)
