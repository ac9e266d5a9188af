"""How much the training of other architectures disturbs one that has trained.

The performance disturbance of an architecture a is

    PD(a) = accuracy of a right after its own update - accuracy of a after m others,

and the same of the loss with the opposite sign: positive is disturbed, negative is
helped. Both are measured on the same images with the statistics of the same batches, as
a supernet keeps no running ones. Ning et al. (NeurIPS 2021, arXiv 2008.03064) call -PD
the forgetting value; their m is the rest of the epoch.

A measurement trains ahead on a copy of the state, through the paths and batches that
come next. It is a function of the state alone and changes nothing: a training that was
killed and goes on measures the same.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from jax import Array
from ml_collections import ConfigDict

from difnas_jax.data import Examples, Normalizer
from difnas_jax.data.base import Dataset
from difnas_jax.errors import require
from difnas_jax.models.network import Network
from difnas_jax.runtime.mesh import data_mesh, rounded_up
from difnas_jax.runtime.metrics import MetricsWriter
from difnas_jax.training import programs
from difnas_jax.training.evaluate import examples_of, sums_of_examples
from difnas_jax.training.exchanges import parts_of, sums_of_exchanges
from difnas_jax.training.paths import paths_per_update
from difnas_jax.training.recipe import build_sampler
from difnas_jax.training.steps import TrainState
from difnas_jax.training.updates import Updates

MOST_EXAMPLES = 512
FIELDS = ("step", "architectures", "split", "images", "accuracy", "loss", "seconds")
# Quantity -> its sum, and the sign of a later value that is lower.
QUANTITIES = {"accuracy": ("correct", 1.0), "loss": ("loss", -1.0)}


def updates_after(config: ConfigDict) -> int:
    """The updates in which `supernet.disturbance_after` architectures train."""
    paths = paths_per_update(build_sampler(config))
    return -(-config.supernet.disturbance_after // paths)


def check_fits(config: ConfigDict, total: int) -> None:
    """Refuse a training that is too short for a single measurement.

    Args:
      config: of the run.
      total: updates of the supernet.

    Raises:
      InputError: naming the field.
    """
    every, after = config.supernet.disturbance_every, updates_after(config)
    expected = (
        f"at most {total - after}, so that the {after} updates after a measurement "
        f"(supernet.disturbance_after = {config.supernet.disturbance_after}) are among "
        f"the {total} of the training, or 0 for none"
    )
    fits = not every or every + after <= total
    require(fits, "supernet.disturbance_every", expected, every)


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """Measures the disturbance of the paths of an update, in the course of a training.

    Attributes:
      every: updates between two measurements.
      after: further updates after which the paths are evaluated again.
      path: of the file with a row for each measurement.
      split: name of the split of which the images are.
      parts: names of the parts of the network, in its order.
      sums: (variables, later parameters), int32[K, L] -> `sums_of_exchanges` over the
        images.
    """

    every: int
    after: int
    path: Path
    split: str
    parts: Sequence[str]
    sums: Callable[[Any, Array], Mapping[str, np.ndarray]]

    @classmethod
    def of_supernet(
        cls,
        config: ConfigDict,
        model: Network,
        params: Mapping[str, Any],
        dataset: Dataset[Examples],
        normalizer: Normalizer,
        path: Path,
    ) -> Self:
        """What the config asks for.

        Args:
          config: of the run.
          model: the supernet.
          params: its parameters, for their names.
          dataset: its validation split is read, or the training split where nothing is
            held out.
          normalizer: applied to the images.
          path: of the file with a row for each measurement.
        """
        split, examples = examples_of(dataset, MOST_EXAMPLES)
        size = rounded_up(min(config.supernet.batch_size, len(examples)))
        part_of = parts_of(model, params)
        program = functools.partial(sums_of_exchanges, model, part_of)
        eval_step = programs.of_network(
            program,
            params,
            title="supernet",
            name="the disturbance of paths",
            model=model,
            batch_size=size,
        )
        sums = functools.partial(
            sums_of_examples,
            eval_step,
            examples=examples,
            batch_size=size,
            normalizer=normalizer,
            mesh=data_mesh(),
        )
        return cls(
            every=config.supernet.disturbance_every,
            after=updates_after(config),
            path=path,
            split=split,
            parts=list(dict.fromkeys(part_of.values())),
            sums=lambda variables, paths: sums(variables, path=paths),
        )

    def is_due(self, done: int, total: int) -> bool:
        """Whether to measure after `done` updates of `total`."""
        return done % self.every == 0 and done + self.after <= total

    def measure(self, updates: Updates, state: TrainState, paths: Array) -> None:
        """Measure the paths of the last update, and write a row.

        A row has the `step`, how many `architectures` train in between, the `split` and
        its `images`, the `seconds`, and for accuracy (0 to 1) and loss (nats) what
        `compared` returns.

        Args:
          updates: of the training.
          state: after the update; it stays as it is.
          paths: int32[K, L], of the update.
        """
        start, step = time.monotonic(), int(state.step)
        later = updates.ahead(state, self.after).variables["params"]
        sums = self.sums((state.variables, later), paths)
        row = {
            "step": step,
            "architectures": self.after * len(paths),
            "split": self.split,
            "images": int(sums["examples"][0]),
        }
        for name, (summed, sign) in QUANTITIES.items():
            values = sums[summed] / sums["examples"]
            row[name] = compared(values, sign, len(paths), self.parts)
        row["seconds"] = time.monotonic() - start
        # A row of this step is of an earlier run, which was killed before it saved.
        MetricsWriter(self.path, FIELDS, step - 1).write(row)


def compared(
    values: np.ndarray, sign: float, count: int, parts: Sequence[str]
) -> dict[str, Any]:
    """The disturbance that accuracies or losses show.

    Args:
      values: float64[2 K + P], in the order of `sums_of_exchanges`.
      sign: 1 where higher values are better, else -1.
      count: K.
      parts: P names.

    Returns:
      `right_after` and `later`, the values of the K paths, and their `disturbance` with
      its `mean` and `spread` (standard deviation); `parts`, by name: the disturbance of
      the first path if only this part of the network had trained on.
    """
    before, later, exchanged = np.split(values, [count, 2 * count])
    disturbance = sign * (before - later)
    by_part = sign * (before[0] - exchanged)
    return {
        "right_after": before.tolist(),
        "later": later.tolist(),
        "disturbance": disturbance.tolist(),
        "mean": float(disturbance.mean()),
        "spread": float(disturbance.std()),
        "parts": dict(zip(parts, by_part.tolist(), strict=True)),
    }
