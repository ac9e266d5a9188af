"""Between two updates: a row of metrics, an evaluation, a checkpoint."""

from ml_collections import ConfigDict

from difnas_jax.runtime.checkpoint import Checkpoints
from difnas_jax.runtime.shutdown import may_end
from difnas_jax.training.log import TrainingLog
from difnas_jax.training.measurements import Measurements
from difnas_jax.training.steps import TrainState


def due_after(
    done: int, total: int, settings: ConfigDict, measurements: Measurements
) -> set[str]:
    """What is to be done after so many updates: some of `log`, `evaluate` and `save`.

    All of it is due after the last one.
    """
    every = {"log": settings.log_every, "save": settings.checkpoint_every}
    if measurements.evaluate:
        every["evaluate"] = settings.evaluate_every
    return {
        name
        for name, period in every.items()
        if done == total or (period > 0 and done % period == 0)
    }


def report(
    state: TrainState,
    due: set[str],
    log: TrainingLog,
    checkpoints: Checkpoints,
    measurements: Measurements,
    corrupt: int = 0,
) -> None:
    """Write a row of metrics; save and evaluate where that is due.

    The state is saved before it is evaluated, since a request to stop may end the
    process in an evaluation. The same command then evaluates again and writes the row.

    Args:
      state: after the updates so far.
      due: see `due_after`.
      log: has the metrics since the last row.
      checkpoints: where the state is saved.
      measurements: see `train`.
      corrupt: images so far that could not be read.
    """
    done = int(state.step)
    row = log.row(done)
    if corrupt:
        row["corrupt_images"] = corrupt
    if measurements.evaluate and "evaluate" in due:
        checkpoints.save(done, log.unwritten, **state.parts)
        with may_end(True):
            row |= measurements.evaluate(state.variables)
    log.write(row)
    if measurements.room:
        measurements.room.write(state)
    if measurements.views:
        log.show(row, state.variables["params"], measurements.views)
    if "save" in due:
        checkpoints.save(done, log.unwritten, **state.parts)
    log.restart()
