"""What a run found, for people, programs and notebooks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Results:
    """What a run found; `values` are those of `results.json`.

    Attributes:
      workdir: where everything is.
      values: architecture, MACs, parameters, score, test accuracy and so on; a value
        whose stage did not run is None.
    """

    workdir: Path
    values: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        """A value by its name."""
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    def lines(self) -> list[str]:
        """The values that matter, for people."""
        shown = {
            "architecture": _joined(self.ops),
            "op indices": _joined(self.architecture),
            "MACs": _counted(self.macs),
            "parameters": _counted(self.params),
            "score": None if self.score is None else f"{self.score:.6g}",
            "test accuracy": _percent(self.test_accuracy),
            "report": self.report,
        }
        return [f"{name}: {text}" for name, text in shown.items() if text is not None]

    def _repr_html_(self) -> str:
        rows = (line.split(": ", 1) for line in self.lines())
        cells = "".join(f"<tr><th>{a}</th><td>{b}</td></tr>" for a, b in rows)
        return f"<table>{cells}</table>"


def _joined(values: Iterable[Any] | None) -> str | None:
    return None if values is None else " ".join(map(str, values))


def _counted(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.2f} %"
