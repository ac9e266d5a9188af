"""Whether the metrics of a training are all there."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from difnas_jax.runtime import files


def lost_rows(path: Path, last: int | None) -> list[str]:
    """Which rows of a `metrics.jsonl` are missing, in sentences.

    A row says of how many `updates` it is the mean: those since the row before.

    Args:
      path: the file.
      last: the step at which the training ended; None where it has not.

    Raises:
      InputError: a damaged file.
    """
    if not path.exists():
        return []
    rows = files.read_json_lines(path, ("step",))
    name = f"{path.parent.name}/{path.name}"
    return [
        f"{name} has no row of the steps {first} to {end}, which its curve leaves out"
        for first, end in _gaps(rows, last)
    ]


def _gaps(
    rows: Sequence[dict[str, Any]], last: int | None
) -> Iterator[tuple[int, int]]:
    before = 0
    for row in rows:
        start = row["step"] - row.get("updates", row["step"] - before)
        if start != before:
            yield before + 1, start
        before = row["step"]
    if last is not None and last != before:
        yield before + 1, last
