"""Whether a training goes on well: losses that are finite and do not jump."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence

from difnas_jax.errors import TrainingError

REMEMBERED = 100
# Below one nat a loss may rise many times over for a single image.
LEAST_LOSS = 1.0


class Health:
    """Watches the metrics of every update, before anything is saved."""

    def __init__(self, spike_factor: float) -> None:
        """Start without a past.

        Args:
          spike_factor: see `config.default`; 0 is off.
        """
        self._factor = spike_factor
        self._losses: deque[float] = deque(maxlen=REMEMBERED)

    def check(
        self, window: Sequence[Mapping[str, float]], done: int, saved: str
    ) -> None:
        """Look at the updates since the last call.

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
