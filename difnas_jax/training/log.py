"""The log of a training: the metrics of its updates, checked, written and shown."""

import contextlib
import math
import statistics
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from difnas_jax.errors import TrainingError
from difnas_jax.runtime.events import EventFile
from difnas_jax.runtime.markers import METRICS
from difnas_jax.runtime.metrics import MetricsWriter, say
from difnas_jax.runtime.progress import Progress, working
from difnas_jax.training import optim
from difnas_jax.training.measurements import Views

FIELDS = (
    "step",
    "updates",
    "loss",
    "accuracy",
    "gradient_norm",
    "parameter_norm",
    "learning_rate",
    "images_per_second",
    "data_wait",
    "reward",
    "entropy",
    "validation_accuracy",
    "validation_top5_accuracy",
    "validation_loss",
    "corrupt_images",
)

MetricRows = list[dict[str, float]]

REMEMBERED = 100
# Below one nat a loss may rise many times over for a single image.
LEAST_LOSS = 1.0
PICTURES = 10  # of a training, as many as TensorBoard keeps by default


class Health:
    """Watches the metrics of every update, before anything is saved."""

    def __init__(self, spike_factor: float) -> None:
        """Start with no recorded losses.

        Args:
          spike_factor: see `config.default`; 0 is off.
        """
        self._factor = spike_factor
        self._losses: deque[float] = deque(maxlen=REMEMBERED)

    def check(
        self, window: Sequence[Mapping[str, float]], done: int, saved: str
    ) -> None:
        """Check the updates since the last call.

        Args:
          window: the metrics of each of them, `loss` included.
          done: updates up to the end of the window.
          saved: what the last good checkpoint is, for the error.

        Raises:
          TrainingError: a value that is not finite, or a loss above `spike_factor`
            times the median of the up to 100 before it (and of 1.0).
        """
        found = self._wrong(window)
        if found:
            raise TrainingError(
                f"{found} in steps {done - len(window) + 1} to {done}; {saved}; lower "
                "the learning rate or clip the gradient"
            )

    def _wrong(self, window: Sequence[Mapping[str, float]]) -> str:
        for metrics in window:
            if not all(map(math.isfinite, metrics.values())):
                return "loss, gradient or parameters are not finite"
            loss = metrics["loss"]
            usual = statistics.median(self._losses or [loss])
            if self._factor and loss > self._factor * max(usual, LEAST_LOSS):
                return f"the loss jumps from {usual:.4g} to {loss:.4g}"
            self._losses.append(loss)
        return ""


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
        unwritten: MetricRows,
    ) -> None:
        """Open `metrics.jsonl` and start the clock.

        Args:
          folder: of the training; its name is the title of the progress.
          settings: a training section of the config.
          steps: from the updates that an earlier run did to those in all.
          images: that pass through a path in one update.
          unwritten: metrics that the earlier run had written in no row.
        """
        self._title, self._recent = folder.name, deque(maxlen=REMEMBERED)
        self._progress = Progress(folder.name, steps.stop, steps.start, "updates")
        self._health = Health(settings.spike_factor)
        # Metrics that were saved are those of a row that was not written for sure.
        written = steps.start - bool(unwritten)
        self._writer = MetricsWriter(folder / METRICS, FIELDS, written)
        self._events, self._total = EventFile.opened(folder, written), steps.stop
        self._best = self._writer.best("validation_accuracy")
        self._learning_rate = jax.jit(optim.learning_rate(settings, steps.stop))
        self._images = images
        self.unwritten = unwritten
        self.restart()

    def restart(self) -> None:
        """Start the clock; updates so far took none of its time."""
        self._earlier, self._waited = len(self.unwritten), 0.0
        self._start = time.monotonic()

    def wait_for(self, batches: Iterator[Any]) -> Any:
        """The next batch; the time spent waiting for it is counted."""
        start = time.monotonic()
        with working(f"{self._title}: waiting for a batch"):
            batch = next(batches)
        self._waited += time.monotonic() - start
        return batch

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock, once the updates so far are done, for what is no update."""
        jax.block_until_ready(self.unwritten)
        start = time.monotonic()
        yield
        self._start += time.monotonic() - start

    def add(self, metrics: dict[str, Any]) -> None:
        """Record the metrics of one update, and show the progress every few seconds."""
        self.unwritten.append(metrics)
        self._recent.append(metrics)
        self._progress.step(values=self._shown)

    def _shown(self) -> dict[str, str]:
        """Means over the last updates; all other metrics are in the file alone."""
        if not self._recent:
            return {}
        rows = jax.device_get(list(self._recent))
        loss, accuracy = (
            float(np.mean([row[name] for row in rows])) for name in ("loss", "accuracy")
        )
        rate = float(self._learning_rate(self._progress.done - 1))  # type: ignore[arg-type]
        return {
            "loss": f"{loss:.4g}",
            "accuracy": f"{accuracy:.1%}",
            "learning rate": f"{rate:.3g}",
        }

    def check(self, done: int, last_checkpoint: str) -> None:
        """Fetch the metrics since the last row, and stop a training that diverges.

        Args:
          done: updates so far.
          last_checkpoint: which one is good, for the error.

        Raises:
          TrainingError: see `Health.check`.
        """
        self.unwritten = [
            {name: float(value) for name, value in row.items()}
            for row in jax.device_get(self.unwritten)
        ]
        self._health.check(self.unwritten, done, last_checkpoint)

    def row(self, done: int) -> dict[str, Any]:
        """Means since the last row, with speed and learning rate.

        Of what only some updates have it is the mean over these.
        """
        values: dict[str, list[float]] = {}
        for row in self.unwritten:
            for name, value in row.items():
                values.setdefault(name, []).append(value)
        means = {name: float(np.mean(found)) for name, found in values.items()}
        seconds, rate = time.monotonic() - self._start, self._learning_rate(done - 1)
        images = (len(self.unwritten) - self._earlier) * self._images
        return {
            "step": done,
            "updates": len(self.unwritten),  # of which it is the mean
            **means,
            "images_per_second": images / seconds,
            "data_wait": self._waited / seconds,
            "learning_rate": float(rate),  # type: ignore[arg-type]
        }

    def write(self, row: dict[str, Any]) -> None:
        """Write a row, and say what was evaluated; its updates count as written."""
        self._writer.write(row)
        if self._events:
            self._events.write(row["step"], {n: row[n] for n in row if n != "step"})
        self.unwritten = []
        if "validation_accuracy" in row:
            found = row["validation_accuracy"]
            self._best = max(self._best or 0.0, found)
            text = f"validation accuracy {found:.2%}, the best so far {self._best:.2%}"
            say(f"{self._title} {row['step']}: {text}")

    def show(self, row: dict[str, Any], params: Any, views: Views) -> None:
        """Show parameters in TensorBoard, where it is installed.

        The first row of each tenth of a training has pictures, so that they take no
        time that counts, and that a training that continues has the same.

        Args:
          row: of these parameters, which is written.
          params: of the network.
          views: what to show of them, see `Measurements`.
        """
        if self._events:
            done, before = row["step"], row["step"] - row["updates"]
            tenth, last = (PICTURES * step // self._total for step in (done, before))
            self._events.write(done, **views(params, tenth > last))

    def close(self) -> None:
        """Show the end of the training."""
        self._progress.finish(self._shown)
