"""`run(config, workdir)`: the stages in order, each skipped if it is complete.

A stage leaves a marker `stages/<name>.json` with the part of the config that its result
depends on and checksums of the artefacts that it read. The same command run again skips
what is complete and continues what was killed; a workdir of another config is refused.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax import checks
from difnas_jax.config import build
from difnas_jax.config.stages import HARMLESS, STAGES
from difnas_jax.errors import InputError
from difnas_jax.report import numbers, page
from difnas_jax.runtime import compilation, files, processes, shutdown
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.progress import working
from difnas_jax.runtime.results import Results
from difnas_jax.runtime.versions import versions
from difnas_jax.scoring.scorers import stage_of
from difnas_jax.stages import indicator, retrain, search, supernet

DATA_CHECKSUM = "data.checksum"

RUN: dict[str, Callable[[ConfigDict, Path], None]] = {
    "supernet": supernet.run,
    "indicator": indicator.run,
    "search": search.run,
    "retrain": retrain.run,
    "report": page.run,
}


def run(config: ConfigDict, workdir: str | Path) -> Results:
    """Run the stages of the config that are not complete in the workdir.

    Args:
      config: see `difnas_jax.config.default`.
      workdir: made if needed.

    Returns:
      The results of all stages that are complete.

    Raises:
      InputError: bad config, data or artefacts, or another run has locked the workdir.
      TrainingError: a training broke down.
      Stopped: SIGTERM or SIGUSR1 was received; the state is saved.
      OSError: the disk is full.
    """
    workdir = Path(workdir)
    with (
        shutdown.handle_signals(),
        working("checking the config"),
        contextlib.ExitStack() as held,
    ):
        data_checksum = processes.on_all_processes(
            lambda: _enter(config, workdir, held)
        )
        checksum = {DATA_CHECKSUM: data_checksum, **versions()}
        processes.check_same("config", build.flat(config, config) | checksum)
        if processes.is_main_process():
            files.write_json(workdir / "config.json", config.to_dict())
        processes.check_shared(workdir / "config.json")
        for name in checks.chosen_stages(config):
            shutdown.raise_if_stop_requested()
            run_stage(name, config, workdir, data_checksum)
        return Results.of(workdir, numbers.collect(config, workdir))


def _enter(config: ConfigDict, workdir: Path, held: contextlib.ExitStack) -> str:
    """Check everything before any work is done, and hold the workdir.

    Returns:
      The checksum of the data.
    """
    checks.check(config)
    data_checksum = checks.check_data(config)
    checks.check_inputs(config, workdir)
    compilation.keep_compiled_programs(config.compilation_cache)
    if processes.is_main_process():  # it alone writes, and holds the workdir for all
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
    for name in STAGES:
        marker, writes = read_marker(workdir, name), stage_of(name, config).writes
        found = [path for path in writes if (workdir / path).exists()]
        if found and not marker:
            raise InputError(
                f"--workdir: {workdir / found[0]} has no stages/{name}.json that says "
                "which config it is from; use another --workdir or delete it"
            )
        if marker:
            now = dependencies(name, config, data_checksum)
            _check_same_config(name, marker, now, workdir)


def _check_same_config(
    name: str, marker: dict[str, Any], now: dict[str, Any], workdir: Path
) -> None:
    then, absent = marker["config"], "absent"
    version = marker.get("versions", {}).get("difnas_jax", "unknown")
    unread = {DATA_CHECKSUM} - (then.keys() & now.keys())
    fields = (then.keys() | now.keys()) - unread
    # The checksum last: a field such as the seed may be why the data differ.
    for field in sorted(fields, key=lambda name: (name == DATA_CHECKSUM, name)):
        there, here = then.get(field, absent), now.get(field, absent)
        if there != here:  # an added or removed field may change the result
            raise InputError(
                f"--workdir: {workdir} holds the {name} stage of another config: "
                f"{field} is {there!r} there (difnas_jax {version}) and {here!r} here; "
                "use another --workdir, or that config and version"
            )


def run_stage(name: str, config: ConfigDict, workdir: Path, data_checksum: str) -> None:
    """Run one stage, unless it is complete for this config and these inputs."""
    stage, marker = stage_of(name, config), read_marker(workdir, name)
    paths = {name: workdir / name for name in (*stage.reads, *stage.shows)}
    inputs = {n: files.checksum(path) for n, path in paths.items() if path.exists()}
    same_inputs = marker.get("inputs") == inputs
    written = all((workdir / path).exists() for path in stage.writes)
    complete = bool(marker.get("complete")) and same_inputs and written
    # A barrier: no process writes before all have read.
    processes.check_same(f"{workdir}, {name}", {"complete": complete, **inputs})
    if complete:
        say(f"{name}: complete, skipped")
        return
    stale = bool(marker) and not same_inputs
    marker = {
        "stage": name,
        "complete": False,
        "config": dependencies(name, config, data_checksum),
        "inputs": inputs,
        "versions": versions(),
    }
    processes.on_all_processes(
        lambda: _begin(workdir, marker, stage.writes if stale else ())
    )
    processes.on_all_processes(lambda: _do(config, workdir, marker))


def _begin(workdir: Path, marker: dict[str, Any], stale: Iterable[str]) -> None:
    """Remove artefacts of other inputs, and mark the stage as begun."""
    for path in (workdir / name for name in stale if processes.is_main_process()):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    write_marker(workdir, marker)


def _do(config: ConfigDict, workdir: Path, marker: dict[str, Any]) -> None:
    name, start = marker["stage"], time.monotonic()
    say(f"{name}: running")
    with working(f"{name}: running"):
        RUN[name](config, workdir)
    seconds = time.monotonic() - start  # of this session, if an earlier one was killed
    write_marker(workdir, {**marker, "complete": True, "seconds": round(seconds, 2)})
    say(f"{name}: done in {seconds:.1f} s")


def read_marker(workdir: Path, name: str) -> dict[str, Any]:
    """The marker of a stage; empty where it has not begun."""
    path = workdir / f"stages/{name}.json"
    if not path.exists():
        return {}
    marker = files.read_json(path, ("config", "inputs"))
    with files.damage_as_input_error(path, "the marker of a stage"):
        if not isinstance(marker["config"], dict):
            raise ValueError("no config")
    return marker


def write_marker(workdir: Path, marker: dict[str, Any]) -> None:
    """Write the marker of the stage that it names."""
    if processes.is_main_process():
        files.write_json(workdir / f"stages/{marker['stage']}.json", marker)


def dependencies(name: str, config: ConfigDict, data_checksum: str) -> dict[str, Any]:
    """Flat {dotted field: value} of what the result of a stage depends on.

    Data count by their checksum: the same file may move, another one under its name is
    noticed.
    """
    stage = stage_of(name, config)
    fields = build.flat(config, stage.sections)
    for field in {*HARMLESS, *stage.harmless, "data.path"} & fields.keys():
        del fields[field]
    return fields | ({DATA_CHECKSUM: data_checksum} if data_checksum else {})
