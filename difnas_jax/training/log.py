"""The log of a training: the metrics of its updates, checked, written and shown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from difnas_jax.runtime.compilation import without_collection
from difnas_jax.runtime.metrics import MetricsWindow, MetricsWriter, Progress
from difnas_jax.training import optim
from difnas_jax.training.health import Health

FIELDS = (
    "step",
    "loss",
    "accuracy",
    "gradient_norm",
    "parameter_norm",
    "learning_rate",
    "images_per_second",
    "data_wait",
    "validation_accuracy",
    "validation_loss",
    "corrupt_images",
)

Metrics = list[dict[str, float]]


class TrainingLog:
    """What a training reports.

    Attributes:
      unwritten: metrics of the updates that are in no row yet.
    """

    def __init__(
        self,
        folder: Path,
        settings: ConfigDict,
        steps: range,
        images: int,
        unwritten: Metrics,
    ) -> None:
        """Open `metrics.jsonl` and start the clock.

        Args:
          folder: of the training; its name is the title of the progress.
          settings: a training section of the config.
          steps: from the updates that an earlier run did to those in all.
          images: that pass through a path in one update.
          unwritten: metrics that the earlier run had written in no row.
        """
        self._progress = Progress(folder.name, steps.stop, steps.start)
        self._health = Health(settings.spike_factor)
        self._writer = MetricsWriter(folder / "metrics.jsonl", FIELDS, steps.start)
        self._best = self._writer.best("validation_accuracy")
        self._learning_rate = optim.learning_rate(settings, steps.stop)
        self._images = images
        self._window = MetricsWindow(unwritten)

    @property
    def unwritten(self) -> Sequence[dict[str, Any]]:
        """Metrics of the updates that are in no row yet."""
        return self._window.metrics

    def wait_for(self, batches: Iterator[Any]) -> Any:
        """The next batch; the time until it is there is reported."""
        return self._window.wait_for(batches)

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Report how long the first update takes, which compiles; then start the clock.

        Tracing makes millions of objects that stay, so the garbage collector pauses.
        """
        with self._progress.compiling(), without_collection():
            yield
        self._window = MetricsWindow(self.unwritten)

    def add(self, metrics: dict[str, Any]) -> None:
        """One more update is under way."""
        self._window.metrics.append(metrics)
        self._progress.step()

    def check(self, done: int, last_checkpoint: str) -> None:
        """Fetch the metrics since the last row, and look whether the training is well.

        Args:
          done: updates so far.
          last_checkpoint: which one is good, for the error.

        Raises:
          TrainingError: see `Health.check`.
        """
        values = jax.device_get(list(self.unwritten))
        self._window.metrics[:] = [
            {name: float(value) for name, value in row.items()} for row in values
        ]
        self._health.check(self._window.metrics, done, last_checkpoint)

    def row(self, done: int) -> dict[str, Any]:
        """Means since the last row, with speed and learning rate."""
        names = self.unwritten[0]
        means = {
            name: float(np.mean([row[name] for row in self.unwritten]))
            for name in names
        }
        rates = self._window.rates(self._images)
        rate: Any = self._learning_rate(done - 1)
        return {"step": done, **means, **rates, "learning_rate": float(rate)}

    def write(self, row: dict[str, Any]) -> None:
        """Write and show a row; its updates count as written."""
        if "validation_accuracy" in row:
            self._best = max(self._best or 0.0, row["validation_accuracy"])
        self._writer.write(row)
        self._progress.report(row["step"], best=self._best, **row)
        self._window.metrics.clear()

    def restart(self) -> None:
        """Start the clock again; updates in no row stay with the next one."""
        self._window = MetricsWindow()

    def close(self) -> None:
        """Leave the progress as it is."""
        self._progress.close()
