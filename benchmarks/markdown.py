"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def row(cells: Iterable[Any]) -> str:
    """One line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def head(names: Iterable[str]) -> list[str]:
    """The names of the columns, and the line below them."""
    names = list(names)
    return [row(names), row(["---"] * len(names))]


def sources(results: dict[str, dict[str, Any]]) -> list[str]:
    """A table of where each result comes from.

    Args:
      results: name -> fields of `provenance.provenance`.
    """
    lines = head(("result", "command", "date", "seeds", "machine", "versions"))
    for name, result in results.items():
        seeds = result["seed"]
        seeds = " ".join(map(str, seeds)) if isinstance(seeds, list) else seeds
        versions = " ".join(" ".join(pair) for pair in result["versions"].items())
        command = f"`{result['command']}`"
        cells = name, command, result["date"], seeds, result["machine"], versions
        lines.append(row(cells))
    return lines
