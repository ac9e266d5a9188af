"""What is measured in the course of a training; no weight depends on it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from difnas_jax.training.disturbance import Disturbance
from difnas_jax.training.room import Room

Evaluate = Callable[[dict[str, Any]], dict[str, float]]
Views = Callable[[Any, bool], dict[str, dict[str, Any]]]


class Measurements(NamedTuple):
    """What is measured in the course of a training.

    Attributes:
      evaluate: variables -> `validation_accuracy`, `validation_loss` and the like;
        every `evaluate_every` updates, and after the last one.
      disturbance: of the paths that train.
      room: that the projection of updates leaves, with every row of metrics.
      views: (parameters, whether to draw) -> what TensorBoard shows of them beside the
        metrics, see `TrainingLog.show`.
    """

    evaluate: Evaluate | None = None
    disturbance: Disturbance | None = None
    room: Room | None = None
    views: Views | None = None


NO_MEASUREMENTS = Measurements()
