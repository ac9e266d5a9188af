"""The marker of a stage, `stages/<name>.json`: what its artefacts are from.

It holds the part of the config that the result depends on (`config`), checksums of the
artefacts that the stage read (`inputs`) and wrote (`outputs`), the versions of the
packages, and whether the stage is `complete`. So an artefact that was changed
afterwards is noticed before anything is done with it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from difnas_jax.errors import InputError
from difnas_jax.runtime import files

Marker = dict[str, Any]
KEYS = ("config", "inputs")
# Folders of checkpoints, which hold checksums of their own.
CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"  # of a training, which writes each row once


def marker_path(workdir: Path, name: str) -> Path:
    """Where the marker of a stage is."""
    return workdir / "stages" / f"{name}.json"


def read_marker(workdir: Path, name: str, writes: Iterable[str] = ()) -> Marker:
    """The marker of a stage; empty where it has not begun.

    Args:
      workdir: of the run.
      name: of the stage.
      writes: artefacts of the stage.

    Raises:
      InputError: the marker is damaged, or artefacts of the stage have none.
    """
    path = marker_path(workdir, name)
    found = [artefact for artefact in writes if (workdir / artefact).exists()]
    again = " and ".join([*found, f"stages/{path.name}"])
    way_out = (
        f"restore it, or use another --workdir, or delete {again} to run {name} again"
    )
    if not path.exists():
        if not found:
            return {}
        raise InputError(
            f"--workdir: expected {path}, which says what {workdir / found[0]} is "
            f"from, it is missing; {way_out}"
        )
    try:
        marker = files.read_checked_json(path, KEYS)
        if not all(isinstance(marker[key], dict) for key in KEYS):
            raise ValueError("config or inputs of another form")
    except (InputError, ValueError) as error:
        raise InputError(
            f"--workdir: {path}: expected the marker that stage {name} wrote, it is "
            f"damaged; {way_out}"
        ) from error
    return marker


def write_marker(workdir: Path, marker: Marker) -> None:
    """Write the marker of the stage that it names."""
    files.write_checked_json(marker_path(workdir, marker["stage"]), marker)


def outputs(workdir: Path, writes: Iterable[str]) -> dict[str, str]:
    """{relative path: checksum} of the artefacts of a stage but checkpoints."""
    return {
        str(path.relative_to(workdir)): files.checksum(path)
        for artefact in writes
        for path in sorted(_files(workdir / artefact))
    }


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir() and path.name != CHECKPOINTS:
        for below in path.iterdir():
            yield from _files(below)


def check_unchanged(workdir: Path, marker: Marker) -> None:
    """Refuse an artefact that is not what its stage wrote; it may be missing.

    Raises:
      InputError: naming the file.
    """
    for path in changed(workdir, marker):
        if path.exists():
            lost = ", without the rows of its training" * (path.name == METRICS)
            raise InputError(
                f"{path}: expected what stage {marker['stage']} wrote, it was changed "
                f"or damaged since; restore it, or delete it and run its stage again"
                f"{lost}"
            )


def changed(workdir: Path, marker: Marker) -> list[Path]:
    """The artefacts that are not what their stage wrote, or are missing."""
    written = marker.get("outputs", {})
    paths = {name: workdir / name for name in written}
    return [
        path
        for name, path in paths.items()
        if not path.is_file() or files.checksum(path) != written[name]
    ]
