"""The one training loop, for supernets and found networks alike.

`train` assembles what a recipe asks for and finds where an earlier run stopped; `fit`
is the loop.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax import Array
from jax.sharding import Mesh
from ml_collections import ConfigDict

from difnas_jax.data import Loader, TrainBatches
from difnas_jax.errors import Stopped
from difnas_jax.models.network import Network
from difnas_jax.runtime import mesh as devices
from difnas_jax.runtime.checkpoint import Checkpoints
from difnas_jax.runtime.compiling import announced
from difnas_jax.runtime.markers import CHECKPOINTS
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.processes import check_same_arrays
from difnas_jax.runtime.progress import working
from difnas_jax.runtime.shutdown import may_end, stop_requested
from difnas_jax.training import optim, programs, steps
from difnas_jax.training.amount import trained_parameters
from difnas_jax.training.gradients import BATCH_SHARING
from difnas_jax.training.log import MetricRows, TrainingLog
from difnas_jax.training.measurements import NO_MEASUREMENTS, Measurements
from difnas_jax.training.paths import Memory, Sampler, paths_per_update, stream
from difnas_jax.training.placements import PLACEMENTS
from difnas_jax.training.recipe import Recipe
from difnas_jax.training.reporting import due_after, report
from difnas_jax.training.updates import Updates


def train(
    model: Network,
    variables: dict[str, Any],
    sampler: Sampler,
    batches: TrainBatches,
    recipe: Recipe,
    mesh: Mesh,
    folder: Path,
    measurements: Measurements = NO_MEASUREMENTS,
) -> steps.TrainState:
    """Train a network by its recipe, from the newest checkpoint on.

    Args:
      model: supernet or found network.
      variables: its initial variables, split by the fates of the recipe.
      sampler: of the paths of an update.
      batches: step -> batch.
      recipe: how it trains.
      mesh: the devices.
      folder: holds `checkpoints/` and `metrics.jsonl`; its name is shown.
      measurements: what is measured on the way; none of them changes the training.

    Returns:
      The state after the last update.

    Raises:
      InputError: checkpoints of which none can be read, or paths or variables that are
        not the same on all hosts.
      TrainingError, Stopped: see `fit`.
    """
    settings = recipe.settings
    passes = BATCH_SHARING[recipe.batch_sharing].passes(paths_per_update(sampler))
    total = optim.total_steps(settings, len(batches.split), passes)
    state, train_step, paths = begin(model, variables, sampler, recipe, mesh, total)
    spec = PLACEMENTS[recipe.placement].batch
    rows = devices.own_rows(batches.batch_size, mesh, spec)
    what = programs.described("the update", model, batches.batch_size)
    train_step = announced(train_step, folder.name, what)
    updates = Updates(
        total=total,
        train_step=lambda state, batch, paths: train_step(
            state, recipe.teach(batch), paths
        ),
        paths=paths,
        batches=dataclasses.replace(batches, rows=rows),
        to_devices=functools.partial(devices.shard_batch, mesh=mesh, spec=spec),
        learn=sampler.learn,
    )
    say(f"{folder.name}: {trained_parameters(recipe, variables)}")
    with Checkpoints(folder / CHECKPOINTS, settings.keep_checkpoints) as checkpoints:
        state, unwritten = restored(state, checkpoints)
        paths = updates.paths(int(state.step), state.memory)
        check_same_arrays(folder.name, {"paths": paths, "variables": state.variables})
        left, images = range(int(state.step), total), batches.batch_size * passes
        log = TrainingLog(folder, settings, left, images, unwritten)
        with working(f"{folder.name}: training"):
            return fit(state, updates, log, checkpoints, settings, measurements)


def begin(
    model: Network,
    variables: dict[str, Any],
    sampler: Sampler,
    recipe: Recipe,
    mesh: Mesh,
    total: int,
) -> tuple[steps.TrainState, steps.TrainStep, Callable[[int, Memory], Array]]:
    """What a training needs beside its data.

    Args:
      model: supernet or found network.
      variables: its initial variables, split by the fates of the recipe.
      sampler: of the paths of an update.
      recipe: how it trains.
      mesh: the devices.
      total: updates of the whole training.

    Returns:
      The state before the first update, replicated over the mesh; the compiled step,
      which takes the memory of the state that it is given; and `Updates.paths`.
    """
    packing = optim.Packing.of(recipe.fates(variables["params"]))
    optimizer = optim.optimizer(recipe.settings, total)
    projection = recipe.projection(packing, total)
    train_step = steps.make_train_step(model, optimizer, projection, recipe, mesh)
    paths = jax.jit(
        lambda step, memory: sampler.draw(stream(recipe.seed, "paths", step), memory),
        out_shardings=devices.replicated(mesh),
    )
    params = variables["params"]
    memory = recipe.memory_before(params, total, sampler)
    state = steps.create_state(variables, optimizer, packing, memory)
    train_step = programs.compiled(train_step, params, donate=(0,))
    return devices.replicate(state, mesh), train_step, paths


def fit(
    state: steps.TrainState,
    updates: Updates,
    log: TrainingLog,
    checkpoints: Checkpoints,
    settings: ConfigDict,
    measurements: Measurements = NO_MEASUREMENTS,
) -> steps.TrainState:
    """Do the updates that are left.

    Args:
      state: where to start; replicated over the mesh.
      updates: what to do.
      log: where metrics go: at every log, checkpoint and evaluation, the means since
        the row before.
      checkpoints: where the state is saved, the last one included.
      settings: `log_every`, `checkpoint_every` and, with an evaluation,
        `evaluate_every`.
      measurements: see `train`.

    Returns:
      The state after the last update.

    Raises:
      TrainingError: see `Health.check`; the state is not saved then.
      Stopped: a signal was received; the state is saved.
    """
    first, total = int(state.step), updates.total
    disturbance = measurements.disturbance
    in_flight = devices.programs_in_flight()
    loader = Loader(updates.batches, range(first, total), updates.to_devices)
    with contextlib.ExitStack() as unsaved, loader as ahead:
        due = due_after(first, total, settings, measurements)
        if log.unwritten and due:  # an earlier session stopped before it
            report(state, due, log, checkpoints, measurements)
        for step in range(first, total):
            batch = log.wait_for(ahead)
            paths = updates.paths(step, state.memory)
            state, metrics = updates.train_step(state, batch, paths)
            if step == first:  # which compiled
                log.restart()
                unsaved.enter_context(may_end(False))
            log.add(metrics)
            # Batches wait on the device until their update is done: keep few of them.
            jax.block_until_ready(log.unwritten[-in_flight:][0]["loss"])
            done = step + 1
            if updates.learn is not None:
                with log.paused():
                    state, found = updates.learned(state, done)
                log.unwritten[-1] |= found
            if disturbance and disturbance.is_due(done, total):
                with log.paused():
                    disturbance.measure(updates, state, paths)
            due = due_after(done, total, settings, measurements)
            stops = stop_requested(done)
            if stops or due:
                log.check(done, _last_checkpoint(checkpoints))
            if stops:  # what is due follows when the same command continues
                checkpoints.save(done, log.unwritten, **state.parts)
                raise Stopped(
                    f"{checkpoints.folder.parent.name} is saved at step {done}"
                )
            if due:
                report(state, due, log, checkpoints, measurements, ahead.corrupt)
    log.close()
    return state


def _last_checkpoint(checkpoints: Checkpoints) -> str:
    saved = checkpoints.latest()
    kept = "no checkpoint yet" if saved is None else f"the last good one is {saved}"
    return f"checkpoints in {checkpoints.folder}: {kept}"


def restored(
    state: steps.TrainState, checkpoints: Checkpoints
) -> tuple[steps.TrainState, MetricRows]:
    """The newest checkpoint that can be read, of the training that starts with `state`.

    Returns:
      It, or `state` where there is none; and the metrics since its last row.

    Raises:
      InputError: checkpoints of which none can be read.
    """
    newest = checkpoints.newest(**state.parts)
    if newest is None:
        return state, []
    step, unwritten, parts = newest
    say(f"continuing from step {step} in {checkpoints.folder}")
    return state.replace(step=state.step + step, **parts), unwritten
