"""Files of results: small enough to be kept, and enough to make every table again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from difnas_jax.runtime import files

DIGITS = 8  # significant digits of a number that is kept

Results = dict[str, dict[str, Any]]


def load(path: Path) -> Results:
    """Name of the result -> provenance and values; empty without a file.

    Raises:
      InputError: a damaged file.
    """
    return files.read_json(path) if path.exists() else {}


def write(path: Path, results: Results) -> Results:
    """Write a line for each field of a result, and for each element of a long list.

    Returns:
      What `load` reads from the file: pages are made of these rounded numbers, so
      that whoever makes them again gets the same.
    """
    with files.atomic_write(path) as file:
        file.write(_text(rounded(results), levels=4) + "\n")
    return load(path)


def as_columns(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows of equal keys as a table: `columns`, their names, and `rows` of values."""
    return {"columns": list(rows[0]), "rows": [list(row.values()) for row in rows]}


def as_rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that `as_columns` was given."""
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def rounded(value: Any) -> Any:
    """The same value, its numbers rounded to `DIGITS` significant digits."""
    if isinstance(value, float) and not value.is_integer():
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def _text(value: Any, levels: int, indent: str = "") -> str:
    """JSON, of which the outermost levels have a line for each item."""
    if levels == 0 or not value or not isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"))
    inner = indent + " "
    if isinstance(value, dict):
        items = [
            f"{json.dumps(key)}: {_text(item, levels - 1, inner)}"
            for key, item in value.items()
        ]
        opened, closed = "{", "}"
    else:
        items = [_text(item, levels - 1, inner) for item in value]
        opened, closed = "[", "]"
    lines = f",\n{inner}".join(items)
    return f"{opened}\n{inner}{lines}\n{indent}{closed}"
