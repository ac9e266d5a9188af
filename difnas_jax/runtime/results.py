"""What a run found, for people, programs and notebooks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from difnas_jax.spaces.base import Architecture
from difnas_jax.spaces.costs import MACS, PARAMS


@dataclasses.dataclass(frozen=True)
class Results:
    """What a run found; a value whose stage did not run is None.

    Attributes:
      workdir: the folder of all artefacts.
      architecture: op index of each layer.
      ops: the same as op names.
      text: the same in one line.
      costs: of the found network, by name (`macs`, `params`).
      score: of the found network in the search.
      test_accuracy: of the retrained network, 0 to 1.
      report: the HTML file.
      values: all of `results.json`.
    """

    workdir: Path
    architecture: Architecture | None
    ops: tuple[str, ...] | None
    text: str | None
    costs: dict[str, int] | None
    score: float | None
    test_accuracy: float | None
    report: str | None
    values: Mapping[str, Any]

    @classmethod
    def of(cls, workdir: Path, values: Mapping[str, Any]) -> Results:
        """The results from the values of `results.json`."""
        names = {field.name for field in dataclasses.fields(cls)} & values.keys()
        found = {name: values[name] for name in names}
        return cls(workdir=workdir, values=values, **found)

    @property
    def macs(self) -> int | None:
        """Multiply-adds of the found network."""
        return None if self.costs is None else self.costs[MACS]

    @property
    def params(self) -> int | None:
        """Parameters of the found network."""
        return None if self.costs is None else self.costs[PARAMS]

    def lines(self) -> list[str]:
        """The most important values, one a line."""
        shown = {
            "architecture": self.text,
            "op indices": self.architecture and _joined(self.architecture),
            "MACs": self.macs and f"{self.macs:,}",
            "parameters": self.params and f"{self.params:,}",
            "score": None if self.score is None else f"{self.score:.6g}",
            "test accuracy": None
            if self.test_accuracy is None
            else f"{100 * self.test_accuracy:.2f} %",
            "report": self.report,
        }
        return [f"{name}: {text}" for name, text in shown.items() if text is not None]

    def _repr_html_(self) -> str:
        rows = (line.split(": ", 1) for line in self.lines())
        cells = "".join(
            f"<tr><th>{name}</th><td>{text}</td></tr>" for name, text in rows
        )
        return f"<table>{cells}</table>"


def _joined(values: Iterable[Any]) -> str:
    return " ".join(map(str, values))


def short(count: int) -> str:
    """A count for people: three significant digits with k, M or G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            digits = np.format_float_positional(
                count / size, precision=3, fractional=False, trim="-"
            )
            return f"{digits} {unit}"
    return str(count)
