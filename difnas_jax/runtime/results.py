"""What a run found, for people, programs and notebooks."""

import dataclasses
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from difnas_jax.spaces.base import Architecture
from difnas_jax.spaces.costs import LATENCY, MACS, PARAMS, in_words


@dataclasses.dataclass(frozen=True)
class Results:
    """What a run found; a value whose stage did not run is None.

    Attributes:
      workdir: the folder of all artefacts.
      architecture: op index of each layer.
      ops: the same as op names.
      text: the same in one line.
      costs: of the found network, by name (`macs`, `params`, ...).
      macs: multiply-adds of the found network.
      params: parameters of the found network.
      score: of the found network in the search.
      test_accuracy: of the retrained network, 0 to 1.
      test_top5_accuracy: the same for the label among the five likeliest classes; None
        of fewer than 10 classes.
      validation_accuracy: of the retrained network, 0 to 1; None without such a split.
      runners_up: of several networks that were retrained the others, best first, as in
        `retrain/result.json`; the found network is the best on validation.
      report: the HTML file.
      values: all of `results.json`.
    """

    workdir: Path
    architecture: Architecture | None
    ops: tuple[str, ...] | None
    text: str | None
    costs: dict[str, float] | None
    macs: int | None
    params: int | None
    score: float | None
    test_accuracy: float | None
    test_top5_accuracy: float | None
    validation_accuracy: float | None
    runners_up: list[dict[str, Any]] | None
    report: str | None
    values: Mapping[str, Any]

    @classmethod
    def of(cls, workdir: Path, values: Mapping[str, Any]) -> Self:
        """The results from the values of `results.json`."""
        costs = values["costs"] or dict.fromkeys((MACS, PARAMS))
        known = {**values, "macs": costs[MACS], "params": costs[PARAMS]}
        names = {field.name for field in dataclasses.fields(cls)} & known.keys()
        found = {name: known[name] for name in names}
        return cls(workdir=workdir, values=values, **found)

    def lines(self) -> list[str]:
        """The most important values, one a line."""
        indices = self.architecture and " ".join(map(str, self.architecture))
        latency = (self.costs or {}).get(LATENCY)
        shown = {
            "architecture: {}": self.text,
            "op indices: {}": indices,
            "MACs: {:,}": self.macs,
            "parameters: {:,}": self.params,
            "predicted latency: {} ms": latency and in_words(latency),
            "score: {:.6g}": self.score,
            "test accuracy: {}": self._accuracies(),
            "chosen by validation accuracy: {}": self._chosen(),
            "report: {}": self.report,
        }
        return [line.format(v) for line, v in shown.items() if v is not None]

    def _accuracies(self) -> str | None:
        top = {"": self.test_accuracy, "top-5 ": self.test_top5_accuracy}
        shown = [f"{n}{100 * v:.2f} %" for n, v in top.items() if v is not None]
        return ", ".join(shown) or None

    def _chosen(self) -> str | None:
        """The folder of the network, where several were retrained."""
        if not self.runners_up:
            return None
        return f"{self.values['retrained_in']}, of {1 + len(self.runners_up)} networks"

    def _repr_html_(self) -> str:
        lines = map(html.escape, self.lines())
        rows = (line.replace(": ", "</th><td>", 1) for line in lines)
        cells = "".join(f"<tr><th>{row}</td></tr>" for row in rows)
        return f"<table>{cells}</table>"


def short(count: float) -> str:
    """A number for people: three significant digits with k, M or G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{float(f'{count / size:.3g}'):g} {unit}"  # no exponent
    return f"{count:.3g}"
