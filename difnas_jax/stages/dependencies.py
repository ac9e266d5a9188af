"""What a stage depends on, and whether its artefacts are of that."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from difnas_jax.config import build
from difnas_jax.config.build import latency_file
from difnas_jax.config.stages import HARMLESS, STAGES, Stage
from difnas_jax.deployment.teacher import FIELD as TEACHER
from difnas_jax.deployment.teacher import teacher_folder
from difnas_jax.errors import InputError
from difnas_jax.runtime import files
from difnas_jax.runtime.artifacts import NETWORK
from difnas_jax.runtime.latency_table import FIELD, FORM
from difnas_jax.runtime.markers import Marker, check_unchanged, read_marker
from difnas_jax.scoring.scorers import stage_of

DATA_CHECKSUM = "data.checksum"
BY_CONTENT = "data.path", FIELD, TEACHER  # what the user names, wherever it lies
NAMED = "--config.search.name=NAME for another search of the same supernet, "


def dependencies(name: str, config: ConfigDict, data_checksum: str) -> dict[str, Any]:
    """Flat {dotted field: value} of what the result of a stage depends on.

    Data, a table of latencies and a teacher count by their checksum: the same file may
    move, another one under its name is noticed.
    """
    stage = stage_of(name, config)
    fields = build.flat(config, stage.sections)
    table = latency_file(config) if "search" in stage.sections else None
    if table:
        with files.given_file(f"{FIELD}: {table}", FORM):
            fields[f"{FIELD}.checksum"] = files.checksum(table)
    taught = teacher_folder(config) if name == "retrain" else None
    if taught:
        fields[f"{TEACHER}.checksum"] = files.checksum(taught / NETWORK)
    for field in {*HARMLESS, *stage.harmless, *BY_CONTENT} & fields.keys():
        del fields[field]
    return fields | ({DATA_CHECKSUM: data_checksum} if data_checksum else {})


def check_workdir(config: ConfigDict, workdir: Path, data_checksum: str) -> None:
    """Refuse artefacts of another config, or that are not what their stage wrote.

    Args:
      config: of this run.
      workdir: where they would be.
      data_checksum: of the data of this run; empty where no stage reads them.

    Raises:
      InputError: naming the first field or file that differs.
    """
    for name in STAGES:
        folder = build.stage_workdir(name, config, workdir)
        stage = stage_of(name, config)
        marker = read_marker(folder, name, stage.writes)
        if not marker or stage.renewed:
            continue
        now = dependencies(name, config, data_checksum)
        for field, there, here in differences(marker, now):
            raise InputError(
                f"--workdir: {folder} holds the {name} stage of another config: "
                f"{field} is {there!r} there (difnas_jax {version_of(marker)}) and "
                f"{here!r} here; use {NAMED * (name != 'supernet')}another --workdir, "
                "or that config and version"
            )
        check_unchanged(folder, marker)


def differences(marker: Marker, now: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(field, value in a marker, value now) where a stage is of another config.

    Args:
      marker: of the stage.
      now: its `dependencies`.
    """
    then, absent = marker["config"], "absent"
    unread = {DATA_CHECKSUM} - (then.keys() & now.keys())
    fields = (then.keys() | now.keys()) - unread
    # Last what may follow from another field: the checksum of the data, and a field
    # that one of them does not depend on.
    followed = {DATA_CHECKSUM, *(then.keys() ^ now.keys())}
    for field in sorted(fields, key=lambda name: (name in followed, name)):
        there, here = then.get(field, absent), now.get(field, absent)
        if there != here:  # an added or removed field may change the result
            yield field, there, here


def version_of(marker: Marker) -> str:
    """The version of this package that wrote a marker."""
    return marker.get("versions", {}).get("difnas_jax", "unknown")


def inputs_of(stage: Stage, config: ConfigDict, workdir: Path) -> dict[str, str]:
    """{artefact: checksum} of what a stage reads and shows."""
    found = {}
    for pattern in (*stage.reads, *stage.shows):
        top = pattern.partition("/")[0]  # of a training the name of its stage
        folder = build.stage_workdir(top, config, workdir)
        for path in sorted(folder.glob(pattern)):
            found[str(path.relative_to(folder))] = files.checksum(path)
    return found


def refuse_stale(
    name: str, stage: Stage, marker: Marker, inputs: dict[str, str], workdir: Path
) -> None:
    """A training that took long is not deleted because an artefact changed.

    Raises:
      InputError: naming the artefact.
    """
    then = marker["inputs"]
    changed = [path for path in inputs if then.get(path) != inputs[path]]
    found = [str(workdir / p) for p in stage.writes if (workdir / p).exists()]
    if found:
        raise InputError(
            f"--workdir: expected the {' and '.join(changed or then)} from which stage "
            f"{name} is in {workdir}, got another; to repeat {name}, move or delete "
            f"{', '.join(found)}"
        )
