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
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax import artifacts, checks, files, preemption, runtime
from difnas_jax import config as config_lib
from difnas_jax.distributed import is_main_process
from difnas_jax.errors import InputError
from difnas_jax.results import Results
from difnas_jax.stages import indicator, report, retrain, search, supernet
from difnas_jax.writer import say


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
        *("kernels", "depthwise", "trainable", "sampling"),
        *("batch", "layer_indicator"),
    )
)
SEARCHED_BY = (*TRAINED_BY, "search", "method.score")

STAGES: dict[str, Stage] = {
    "supernet": Stage(
        supernet.run,
        TRAINED_BY,
        (),
        ("supernet/checkpoints", artifacts.SUPERNET_METRICS, artifacts.TRAINED),
    ),
    "indicator": Stage(
        indicator.run,
        TRAINED_BY,
        (artifacts.TRAINED,),
        (artifacts.INDICATOR,),
    ),
    "search": Stage(
        search.run,
        SEARCHED_BY,
        (artifacts.TRAINED, artifacts.INDICATOR),
        (
            *(artifacts.SEARCH_STATE, artifacts.SEARCH_HISTORY),
            *(artifacts.CANDIDATES, artifacts.PARETO),
            *(artifacts.BEST, artifacts.COMPARISON),
        ),
    ),
    "retrain": Stage(
        retrain.run,
        ("seed", "space", "data", "retrain"),
        (artifacts.BEST,),
        ("retrain/checkpoints", artifacts.RETRAIN_METRICS, artifacts.RETRAIN_RESULT),
    ),
    "report": Stage(
        report.run,
        (*SEARCHED_BY, "retrain"),
        (
            *(artifacts.INDICATOR, artifacts.CANDIDATES),
            *(artifacts.COMPARISON, artifacts.RETRAIN_RESULT),
        ),
        (artifacts.REPORT, artifacts.RESULTS, artifacts.FIGURES),
    ),
}

# How often something is written, and when a training gives up, changes no result.
HOUSEKEEPING = (
    *("log_every", "checkpoint_every", "keep_checkpoints", "evaluate_every"),
    "spike_factor",
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
    with preemption.watched():
        checks.check(config)
        data_checksum = checks.check_data(config)
        checks.check_inputs(config, workdir)
        runtime.keep_compiled_programs(config.compilation_cache)
        # Process 0 alone writes, and holds the workdir for all.
        own = files.locked(workdir) if is_main_process() else contextlib.nullcontext()
        with own:
            check_workdir(config, workdir, data_checksum)
            if is_main_process():
                files.write_json(workdir / "config.json", config.to_dict())
            for name in checks.chosen_stages(config):
                preemption.leave_if_asked()
                run_stage(name, config, workdir, data_checksum)
            return Results.of(workdir, report.collect(config, workdir))


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
    if marker.get("complete") and same_inputs and written:
        say(f"{name}: complete, skipped")
        return
    if is_main_process() and marker and not same_inputs:
        _remove(workdir, stage.writes)
    marker = {
        "stage": name,
        "complete": False,
        "config": _dependencies(stage, config, data_checksum),
        "inputs": inputs,
        "versions": artifacts.versions(),
    }
    _write_marker(workdir, marker)
    say(f"{name}: running")
    start = time.monotonic()
    stage.run(config, workdir)
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
        raise files.unreadable(path, "the marker of a stage", ValueError("no config"))
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
    for name in stage.fields:
        value = config_lib.field(config, name)
        items = value.to_dict() if isinstance(value, ConfigDict) else {"": value}
        for key, item in items.items():
            if key not in HOUSEKEEPING and f"{name}.{key}" != "data.path":
                plain = list(item) if isinstance(item, tuple) else item
                flat[f"{name}.{key}".rstrip(".")] = plain
    return flat


def _checksums(workdir: Path, names: Iterable[str]) -> dict[str, str]:
    paths = {name: workdir / name for name in names}
    return {
        name: f"{zlib.crc32(path.read_bytes()):08x}"
        for name, path in paths.items()
        if path.exists()
    }


def _remove(workdir: Path, names: Iterable[str]) -> None:
    for path in (workdir / name for name in names):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
