"""`run(config, workdir)`: the stages in order, each skipped if it is complete.

A stage leaves a marker `stages/<name>.json` with the part of the config that its result
depends on and checksums of the artefacts that it read and wrote. The same command run
again skips what is complete and continues what was killed; a workdir of another config
is refused. A named search (`search.name`) has a workdir of its own below that of its
supernet.
"""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ml_collections import ConfigDict

from difnas_jax import checks, plan
from difnas_jax.config import build
from difnas_jax.config.files import saved_config
from difnas_jax.config.stages import STAGES
from difnas_jax.data import DataSummary
from difnas_jax.errors import InputError
from difnas_jax.report import numbers, page
from difnas_jax.runtime import (
    artifacts,
    compilation,
    files,
    locks,
    processes,
    provenance,
    shutdown,
)
from difnas_jax.runtime.given_paths import given_path
from difnas_jax.runtime.jax_settings import standard_settings
from difnas_jax.runtime.markers import (
    Marker,
    changed,
    outputs,
    read_marker,
    write_marker,
)
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.progress import working
from difnas_jax.runtime.results import Results
from difnas_jax.runtime.versions import versions
from difnas_jax.scoring.scorers import stage_of
from difnas_jax.stages import export, indicator, retrain, search, supernet
from difnas_jax.stages.chosen import chosen_stages, named_search
from difnas_jax.stages.dependencies import (
    DATA_CHECKSUM,
    check_workdir,
    dependencies,
    differences,
    inputs_of,
    refuse_stale,
    version_of,
)

RUN: dict[str, Callable[[ConfigDict, Path], None]] = {
    "supernet": supernet.run,
    "indicator": indicator.run,
    "search": search.run,
    "retrain": retrain.run,
    "export": export.run,
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
    workdir = given_path("workdir", workdir)
    config = ConfigDict(config).copy_and_resolve_references()  # the caller's stays
    if config.search.supernet:  # kept, and found from any other folder
        supernet = build.supernet_workdir(config, workdir)
        config.search.supernet = str(supernet.absolute())
    handled = shutdown.handle_signals()
    with standard_settings(), handled, working("checking the config"):
        if config.search.name:
            return _run_named_search(config, workdir)
        return _run_stages(config, workdir)


def _run_named_search(config: ConfigDict, workdir: Path) -> Results:
    """Search the supernet of a workdir, which is trained there first if need be."""
    own, folder = named_search(config, workdir)
    trained = bool(own.search.supernet)
    own.search.supernet = own.search.supernet or str(workdir.absolute())
    chosen_stages(own)
    if not trained and "supernet" in config.stages:
        checks.check(own)  # all of it, before hours of training
        checks.check_data(own)
        alone = own.copy_and_resolve_references()
        alone.search.supernet, alone.stages = "", ("supernet",)
        _run_stages(alone, workdir)
    say(f"search: in {folder}, of the supernet in {own.search.supernet}")
    results = _run_stages(own, folder)
    if processes.is_main_process():
        try:
            _list_searches(workdir)
        except InputError as error:  # this search is done, whatever that run is at
            say(f"report: {workdir / artifacts.REPORT} is not up to date ({error})")
    return results


def _list_searches(workdir: Path) -> None:
    """Bring the report of a workdir up to date, if it has one, with its searches."""
    marker = read_marker(workdir, "report")
    if not marker.get("complete"):
        return
    with locks.locked(workdir):
        config = saved_config(workdir / "config.json")
        page.run(config, workdir)
        marker["inputs"] = inputs_of(STAGES["report"], config, workdir)
        marker["outputs"] = outputs(workdir, STAGES["report"].writes)
        write_marker(workdir, marker)
    say(f"report: {workdir / artifacts.REPORT} lists this search")


def _run_stages(config: ConfigDict, workdir: Path) -> Results:
    build.find_given(config, workdir)
    with contextlib.ExitStack() as held:
        summary = processes.on_all_processes(lambda: _enter(config, workdir, held))
        checksum = {DATA_CHECKSUM: summary.checksum, **versions()}
        processes.check_same("config", build.flat(config, config) | checksum)
        if processes.is_main_process():
            files.write_json(workdir / "config.json", config.to_dict())
            if summary.checksum:  # some stage reads the data
                files.write_json(workdir / artifacts.DATA, dataclasses.asdict(summary))
        processes.check_shared(workdir / "config.json")
        say("\n".join(plan.lines(config, workdir, summary)))
        for name in chosen_stages(config):
            shutdown.raise_if_stop_requested()
            run_stage(name, config, workdir, summary.checksum)
        return Results.of(workdir, numbers.collect(config, workdir))


def _enter(
    config: ConfigDict, workdir: Path, held: contextlib.ExitStack
) -> DataSummary:
    """Check everything before any work is done, and hold the workdir."""
    summary = checks.check_run(config, workdir)
    compilation.keep_compiled_programs(config.compilation_cache)
    if processes.is_main_process():  # it alone writes, and holds the workdir for all
        held.enter_context(locks.locked(workdir))
    check_workdir(config, workdir, summary.checksum)
    return summary


def run_stage(name: str, config: ConfigDict, workdir: Path, data_checksum: str) -> None:
    """Run one stage, unless it is complete for this config and these inputs."""
    stage, marker = stage_of(name, config), read_marker(workdir, name)
    inputs = inputs_of(stage, config, workdir)
    fields = dependencies(name, config, data_checksum)
    same_inputs = marker.get("inputs") == inputs
    written = all((workdir / path).exists() for path in stage.writes)
    complete = bool(marker.get("complete")) and same_inputs and written
    complete = complete and not any(differences(marker, fields))
    for path in changed(workdir, marker) if complete else ():
        say(f"{name}: {path} is missing or was changed, and is written again")
        complete = False
    # A barrier: no process writes before all have read.
    processes.check_same(f"{workdir}, {name}", {"complete": complete, **inputs})
    if complete:
        version, ours = version_of(marker), versions()["difnas_jax"]
        other = f", of difnas_jax {version} (this is {ours})" * (version != ours)
        say(f"{name}: complete, skipped{other}")
        return
    stale = bool(marker) and not same_inputs
    if stale and stage.trains:
        refuse_stale(name, stage, marker, inputs, workdir)
    marker = {
        "stage": name,
        "complete": False,
        "config": fields,
        "inputs": inputs,
        "versions": versions(),
        "provenance": provenance.facts(),
    }
    processes.on_all_processes(
        lambda: _begin(workdir, marker, stage.writes if stale else ())
    )
    processes.on_all_processes(lambda: _do(config, workdir, marker))


def _begin(workdir: Path, marker: Marker, stale: Iterable[str]) -> None:
    """Remove artefacts of other inputs, and mark the stage as begun."""
    if not processes.is_main_process():
        return
    for path in (workdir / name for name in stale):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    write_marker(workdir, marker)


def _do(config: ConfigDict, workdir: Path, marker: Marker) -> None:
    name, start = marker["stage"], time.monotonic()
    say(f"{name}: running")
    with working(f"{name}: running"):
        RUN[name](config, workdir)
    seconds = time.monotonic() - start  # of this session, if an earlier one was killed
    if processes.is_main_process():
        stage = stage_of(name, config)
        written = outputs(workdir, (*stage.writes, *stage.may_write))
        done = {"complete": True, "seconds": round(seconds, 2), "outputs": written}
        write_marker(workdir, {**marker, **done})
    say(f"{name}: done in {seconds:.1f} s")
