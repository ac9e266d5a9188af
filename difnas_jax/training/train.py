"""The one training loop, for supernets and found networks alike.

`train` assembles what the config asks for and continues where a killed run stopped;
`fit` is the loop.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh
from ml_collections import ConfigDict

from difnas_jax.data import Loader, TrainBatches
from difnas_jax.errors import Stopped
from difnas_jax.models.supernet import Network
from difnas_jax.runtime import shutdown
from difnas_jax.runtime.checkpoint import Checkpoints
from difnas_jax.runtime.compilation import without_collection
from difnas_jax.runtime.mesh import (
    own_rows,
    programs_in_flight,
    replicate,
    replicated,
    shard_batch,
)
from difnas_jax.runtime.metrics import MetricsWriter, Progress, Window, say
from difnas_jax.runtime.processes import check_same_arrays
from difnas_jax.training import optim
from difnas_jax.training.health import Health
from difnas_jax.training.paths import Sampler, stream
from difnas_jax.training.placements import PLACEMENTS
from difnas_jax.training.steps import (
    BATCHES,
    TrainState,
    TrainStep,
    create_state,
    make_train_step,
)

METRICS = (
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


def train(
    model: Network,
    variables: dict[str, Any],
    sampler: Sampler,
    batches: TrainBatches,
    settings: ConfigDict,
    *,
    trainable: str,
    batch_of_paths: str,
    mesh: Mesh,
    folder: Path,
    placement: str = "batch",
    evaluate: Callable[[dict[str, Any]], dict[str, float]] | None = None,
    evaluate_every: int = 0,
) -> TrainState:
    """Train a network as its config section says, from the newest checkpoint on.

    Args:
      model: supernet or found network.
      variables: its initial variables.
      sampler: key -> int32[K, L], the paths of an update.
      batches: step -> batch; its seed is that of all streams.
      settings: a training section of the config.
      trainable: key of `optim.TRAINABLE`.
      batch_of_paths: key of `steps.BATCHES`.
      mesh: the devices.
      folder: holds `checkpoints/` and `metrics.jsonl`; its name is shown.
      placement: key of `placements.PLACEMENTS`.
      evaluate: see `fit`.
      evaluate_every: see `fit`.

    Returns:
      The state after the last update.

    Raises:
      InputError: checkpoints of which none can be read, or paths or variables that are
        not the same on all hosts.
      TrainingError, Stopped: see `fit`.
    """
    seed = batches.seed
    sample = jax.jit(
        lambda step: sampler(stream(seed, "paths", step)),
        out_shardings=replicated(mesh),
    )
    paths = len(sample(0))
    passes = BATCHES[batch_of_paths].passes(paths)
    steps = optim.total_steps(settings, len(batches.split), passes)
    packing = optim.Packing.of(variables["params"], optim.TRAINABLE[trainable])
    optimizer = optim.optimizer(settings, steps)
    train_step = make_train_step(
        model,
        optimizer,
        packing,
        label_smoothing=settings.label_smoothing,
        seed=seed,
        batch_of_paths=batch_of_paths,
        placement=placement,
        mesh=mesh,
    )
    spec = PLACEMENTS[placement].batch
    rows = own_rows(batches.batch_size, mesh, spec)
    batches = dataclasses.replace(batches, rows=rows)
    keep = settings.keep_checkpoints
    with Checkpoints(folder / "checkpoints", keep) as checkpoints:
        state = create_state(variables, optimizer, packing, steps=steps, paths=paths)
        state, window = restored(replicate(state, mesh), checkpoints)
        start = {"paths": sample(int(state.step)), "variables": state.variables}
        check_same_arrays(folder.name, start)
        return fit(
            state,
            jax.jit(train_step, donate_argnums=0),
            sample,
            batches,
            window=window,
            title=folder.name,
            steps=steps,
            passes=passes,
            settings=settings,
            learning_rate=optim.learning_rate(settings, steps),
            place=lambda batch: shard_batch(batch, mesh, spec),
            checkpoints=checkpoints,
            writer=MetricsWriter(folder / "metrics.jsonl", METRICS, int(state.step)),
            evaluate=evaluate,
            evaluate_every=evaluate_every,
        )


def fit(
    state: TrainState,
    train_step: TrainStep,
    sample: Callable[[int], Array],
    batches: TrainBatches,
    *,
    window: Metrics,
    title: str,
    steps: int,
    passes: int,
    settings: ConfigDict,
    learning_rate: Callable[[int], Any],
    place: Callable[[Any], Any],
    checkpoints: Checkpoints,
    writer: MetricsWriter,
    evaluate: Callable[[dict[str, Any]], dict[str, float]] | None = None,
    evaluate_every: int = 0,
) -> TrainState:
    """Train until `steps` updates are done.

    Args:
      state: where to start; replicated over the mesh.
      train_step: the compiled step.
      sample: step -> int32[K, L] paths of that update.
      batches: step -> batch.
      window: the metrics of the updates since the last row, of an earlier run.
      title: what the progress shows.
      steps: total updates, those of an earlier run included.
      passes: how often each image of a batch passes through a path.
      settings: `log_every`, `checkpoint_every` and `spike_factor`.
      learning_rate: step -> learning rate, for the metrics.
      place: batch -> the same on the devices.
      checkpoints: where the state is saved, the last one included.
      writer: where metrics go: at every log, checkpoint and evaluation, the means since
        the row before.
      evaluate: variables -> `validation_accuracy` and `validation_loss`.
      evaluate_every: updates between two evaluations; the last update always has one.

    Returns:
      The state after the last update.

    Raises:
      TrainingError: see `Health.check`; the state is not saved then.
      Stopped: asked by a signal; the state is saved.
    """
    first = int(state.step)
    progress, health = Progress(title, steps, first), Health(settings.spike_factor)
    best = writer.best("validation_accuracy")
    ours, images = Window(window), batches.batch_size * passes
    pending = programs_in_flight()
    with Loader(batches, range(first, steps), place) as ahead:
        for step in range(first, steps):
            batch = ours.wait_for(ahead)
            with _compiling(progress) if step == first else contextlib.nullcontext():
                state, metrics = train_step(state, batch, sample(step))
            if step == first:
                ours = Window(window)
            ours.metrics.append(metrics)
            # Batches wait on the device until their update is done: keep few of them.
            jax.block_until_ready(ours.metrics[-pending:][0]["loss"])
            progress.step()
            done = step + 1
            leaves = shutdown.asked(done)
            saves = _due(done, settings.checkpoint_every, steps)
            evaluates = evaluate is not None and _due(done, evaluate_every, steps)
            reports = saves or evaluates or _due(done, settings.log_every, steps)
            if not (reports or leaves):
                continue
            values = _on_host(ours.metrics)
            health.check(values, done, _last_good(checkpoints))
            if reports:
                row = {"step": done, **_means(values), **ours.rates(images)}
                row["learning_rate"] = float(learning_rate(step))
                if ahead.corrupt:
                    row["corrupt_images"] = ahead.corrupt
                if evaluate is not None and evaluates:
                    row |= evaluate(state.variables)
                    best = max(best or 0.0, row["validation_accuracy"])
                writer.write(row)
                progress.report(done, best=best, **row)
                values = []
            if saves or leaves:
                checkpoints.save(done, values, **_parts(state))
            if leaves:
                raise Stopped(f"{title} is saved at step {done}")
            ours = Window()
    progress.close()
    return state


@contextlib.contextmanager
def _compiling(progress: Progress) -> Iterator[None]:
    with progress.compiling(), without_collection():
        yield


def _due(done: int, every: int, steps: int) -> bool:
    return done == steps or (every > 0 and done % every == 0)


def _on_host(window: Sequence[dict[str, Any]]) -> Metrics:
    values = jax.device_get(window)
    return [{name: float(value) for name, value in row.items()} for row in values]


def _means(window: Metrics) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in window])) for name in window[0]}


def _last_good(checkpoints: Checkpoints) -> str:
    saved = checkpoints.latest()
    kept = "no checkpoint yet" if saved is None else f"the last good one is {saved}"
    return f"checkpoints in {checkpoints.folder}: {kept}"


def restored(state: TrainState, checkpoints: Checkpoints) -> tuple[TrainState, Metrics]:
    """The newest checkpoint that can be read, of the training that starts with `state`.

    Returns:
      It, or `state` where there is none; and the metrics since its last row.

    Raises:
      InputError: checkpoints of which none can be read.
    """
    newest = checkpoints.newest(**_parts(state))
    if newest is None:
        return state, []
    step, window, parts = newest
    say(f"continuing from step {step} in {checkpoints.folder}")
    losses = parts.pop("losses")["losses"]
    return state.replace(step=state.step + step, losses=losses, **parts), window


def _parts(state: TrainState) -> dict[str, Any]:
    """What a checkpoint holds: trees, of which a bare array is none."""
    return {
        "variables": state.variables,
        "optimizer": state.optimizer,
        "losses": {"losses": state.losses},
    }
