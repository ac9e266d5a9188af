"""`run(config, workdir)`: the stages in order, each skipped when its work is there.

A stage leaves a marker `stages/<name>.json` with the part of the config that its result
depends on and checksums of the artefacts that it read. The same command run again skips
what is complete and continues what was killed; a workdir of another config is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax import checks
from difnas_jax.config import build as config_lib
from difnas_jax.errors import InputError
from difnas_jax.report import page
from difnas_jax.runtime import artifacts, compilation, files, shutdown
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.processes import (
    check_same,
    check_shared,
    is_main_process,
    on_all_processes,
)
from difnas_jax.runtime.results import Results
from difnas_jax.stages import indicator, retrain, search, supernet


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage and what it depends on.

    Attributes:
      run: (config, workdir) -> None.
      fields: config fields, or whole sections, that its result depends on.
      reads: artefacts of earlier stages; those that are absent are left out.
      writes: artefacts that are there when it is complete.
    """

    run: Callable[[ConfigDict, Path], None]
    fields: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]


TRAINED_BY = ("seed", "space", "data", "supernet") + tuple(
    f"method.{name}"
    for name in (
        "kernels",
        "depthwise",
        "trainable",
        "train_classifier",
        "sampling",
        "batch",
        "layer_indicator",
    )
)
INDICATED_BY = (*TRAINED_BY, "method.indicator")
SEARCHED_BY = (*INDICATED_BY, "search", "method.score")

STAGES: dict[str, Stage] = {
    "supernet": Stage(
        supernet.run,
        TRAINED_BY,
        (),
        ("supernet/checkpoints", artifacts.SUPERNET_METRICS, artifacts.TRAINED),
    ),
    "indicator": Stage(
        indicator.run,
        INDICATED_BY,
        (artifacts.TRAINED,),
        (artifacts.INDICATOR,),
    ),
    "search": Stage(
        search.run,
        SEARCHED_BY,
        (artifacts.TRAINED, artifacts.INDICATOR),
        (
            artifacts.SEARCH_STATE,
            artifacts.SEARCH_HISTORY,
            artifacts.CANDIDATES,
            artifacts.PARETO,
            artifacts.BEST,
            artifacts.COMPARISON,
        ),
    ),
    "retrain": Stage(
        retrain.run,
        ("seed", "space", "data", "retrain"),
        (artifacts.BEST,),
        ("retrain/checkpoints", artifacts.RETRAIN_METRICS, artifacts.RETRAIN_RESULT),
    ),
    "report": Stage(
        page.run,
        (*SEARCHED_BY, "retrain"),
        (
            artifacts.INDICATOR,
            artifacts.CANDIDATES,
            artifacts.COMPARISON,
            artifacts.RETRAIN_RESULT,
        ),
        (artifacts.REPORT, artifacts.RESULTS, artifacts.FIGURES),
    ),
}

# How often something is written, who reads the images, and when a training gives up
# change no result. Nor does `skip` change what was done before an image was corrupt.
HOUSEKEEPING = (
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "evaluate_every",
    "workers",
    "spike_factor",
    "corrupt",
)


def run(config: ConfigDict, workdir: str | Path) -> Results:
    """Run the stages of the config that are not complete in the workdir.

    Args:
      config: see `difnas_jax.config.default`.
      workdir: made if needed.

    Returns:
      The results of all stages that are complete.

    Raises:
      InputError: bad config, data or artefacts, or another run has the workdir.
      TrainingError: a training broke down.
      Stopped: asked by SIGTERM or SIGUSR1; everything is saved.
      OSError: the disk is full.
    """
    workdir = Path(workdir)
    with shutdown.handle_signals(), contextlib.ExitStack() as held:
        data_checksum = on_all_processes(lambda: _enter(config, workdir, held))
        checksum = {"data.checksum": data_checksum, **artifacts.versions()}
        check_same("config", config_lib.flat(config, config) | checksum)
        if is_main_process():
            files.write_json(workdir / "config.json", config.to_dict())
        check_shared(workdir / "config.json")
        for name in checks.chosen_stages(config):
            shutdown.raise_if_stop_requested()
            run_stage(name, config, workdir, data_checksum)
        return Results.of(workdir, page.collect(config, workdir))


def _enter(config: ConfigDict, workdir: Path, held: contextlib.ExitStack) -> str:
    """Check everything before any work is done, and hold the workdir.

    Returns:
      The checksum of the data.
    """
    checks.check(config)
    data_checksum = checks.check_data(config)
    checks.check_inputs(config, workdir)
    compilation.keep_compiled_programs(config.compilation_cache)
    if is_main_process():  # it alone writes, and holds the workdir for all
        held.enter_context(files.locked(workdir))
    check_workdir(config, workdir, data_checksum)
    return data_checksum


def check_workdir(config: ConfigDict, workdir: Path, data_checksum: str) -> None:
    """Refuse a workdir that holds artefacts of another config.

    Args:
      config: of this run.
      workdir: where they would be.
      data_checksum: of the data of this run; empty where no stage reads them.

    Raises:
      InputError: naming the first field that differs.
    """
    for name, stage in STAGES.items():
        marker = _read_marker(workdir, name)
        left = [path for path in stage.writes if (workdir / path).exists()]
        if left and not marker:
            raise InputError(
                f"--workdir: {workdir / left[0]} has no stages/{name}.json that says "
                "which config it is from; use another --workdir or delete it"
            )
        then = marker.get("config", {})
        now = _dependencies(stage, config, data_checksum)
        for field in sorted(then.keys() & now.keys()):
            if then[field] != now[field]:
                raise InputError(
                    f"--workdir: {workdir} holds the {name} stage of another config: "
                    f"{field} is {then[field]!r} there and {now[field]!r} here; use "
                    "another --workdir or delete this one"
                )


def run_stage(name: str, config: ConfigDict, workdir: Path, data_checksum: str) -> None:
    """Run one stage, unless it is complete for this config and these inputs."""
    stage, marker = STAGES[name], _read_marker(workdir, name)
    inputs = _checksums(workdir, stage.reads)
    same_inputs = marker.get("inputs") == inputs
    written = all((workdir / path).exists() for path in stage.writes)
    complete = bool(marker.get("complete")) and same_inputs and written
    # Nobody goes on, and writes, before all have looked.
    check_same(f"{workdir}, {name}", {"complete": complete, **inputs})
    if complete:
        say(f"{name}: complete, skipped")
        return
    stale = bool(marker) and not same_inputs
    marker = {
        "stage": name,
        "complete": False,
        "config": _dependencies(stage, config, data_checksum),
        "inputs": inputs,
        "versions": artifacts.versions(),
    }
    on_all_processes(lambda: _begin(workdir, marker, stage.writes if stale else ()))
    on_all_processes(lambda: _do(config, workdir, marker))


def _begin(workdir: Path, marker: dict[str, Any], stale: Iterable[str]) -> None:
    """Remove what is of other inputs, and say what is going to be there."""
    if is_main_process():
        _remove(workdir, stale)
    _write_marker(workdir, marker)


def _do(config: ConfigDict, workdir: Path, marker: dict[str, Any]) -> None:
    name, start = marker["stage"], time.monotonic()
    say(f"{name}: running")
    STAGES[name].run(config, workdir)
    seconds = time.monotonic() - start  # of this session, if an earlier one was killed
    _write_marker(workdir, {**marker, "complete": True, "seconds": round(seconds, 2)})
    say(f"{name}: done in {seconds:.1f} s")


def _marker_path(workdir: Path, name: str) -> Path:
    return workdir / "stages" / f"{name}.json"


def _read_marker(workdir: Path, name: str) -> dict[str, Any]:
    path = _marker_path(workdir, name)
    if not path.exists():
        return {}
    marker = files.read_json(path, ("config", "inputs"))
    if not isinstance(marker["config"], dict):
        raise files.missing_or_damaged(
            path, "the marker of a stage", ValueError("no config")
        )
    return marker


def _write_marker(workdir: Path, marker: dict[str, Any]) -> None:
    if is_main_process():
        files.write_json(_marker_path(workdir, marker["stage"]), marker)


def _dependencies(
    stage: Stage, config: ConfigDict, data_checksum: str
) -> dict[str, Any]:
    """Flat {dotted field: value} of what the result of a stage depends on.

    Data count by their checksum: the same file may move, another one under its name is
    noticed.
    """
    flat: dict[str, Any] = {"data.checksum": data_checksum} if data_checksum else {}
    for name, value in config_lib.flat(config, stage.fields).items():
        if name != "data.path" and name.rpartition(".")[2] not in HOUSEKEEPING:
            flat[name] = value
    return flat


def _checksums(workdir: Path, names: Iterable[str]) -> dict[str, str]:
    paths = {name: workdir / name for name in names}
    return {n: files.checksum(path) for n, path in paths.items() if path.exists()}


def _remove(workdir: Path, names: Iterable[str]) -> None:
    for path in (workdir / name for name in names):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
