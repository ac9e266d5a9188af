"""`latency.json`: how long each op of a space takes on one device, as a cost."""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from difnas_jax.errors import InputError, one_line, require
from difnas_jax.runtime import files
from difnas_jax.spaces.base import SearchSpace
from difnas_jax.spaces.costs import LATENCY, STEPS_PER_UNIT, CostTable, cost_table
from difnas_jax.spaces.image import ImageSpace
from difnas_jax.spaces.stored import restored, stored

FIELD = "search.latency"
FORM = "a table of `difnas-jax latency` (runs keep it as search/latency.json)"
# The largest network takes about so many of the steps in which latencies are kept, so
# that networks within a bound can be counted.
STEPS = 2**17
CLOSE = 0.1  # mean error of a prediction that is as good as it should be


class Correction(NamedTuple):
    """From ops that are timed by themselves to a network.

    Attributes:
      fixed_ms: what every network takes: stem, fixed blocks, head, classifier, and the
        call itself.
      factor: of the time in a network to that by itself.
      block_ms: what each block takes more in a network; less, if negative.
    """

    fixed_ms: float
    factor: float
    block_ms: float

    def of_ops(self, ms: np.ndarray, blocks: np.ndarray) -> np.ndarray:
        """What ops add to a network, from their times and their numbers of blocks."""
        return self.factor * ms + self.block_ms * blocks


@dataclasses.dataclass(frozen=True)
class LatencyTable:
    """What was measured of a space; see `deployment.latency`.

    Attributes:
      space: all of whose ops were measured.
      layers: for each layer by name of the op, how many `blocks` it is (in a cell, one
        of each cell; none if nothing is computed) and how long they take by themselves:
        `ms` (median) and the quartiles `low` and `high`.
      correction: with which that predicts networks.
      facts: how it was measured and how well it predicts, JSON values.
    """

    space: ImageSpace
    layers: list[dict[str, dict[str, float]]]
    correction: Correction
    facts: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write it, with a checksum of its values."""
        values = {
            "space": stored(self.space),
            "correction": self.correction._asdict(),
            "facts": self.facts,
            "layers": self.layers,
        }
        files.write_checked_json(path, values)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
          InputError: the file is missing or damaged.
        """
        require(path.is_file(), FIELD, FORM, f"{str(path)!r}, which is no file")
        with files.given_file(f"{FIELD}: {path}", FORM):
            try:
                values = files.read_checked_json(path)
            except InputError as error:  # which advises to run a stage again
                raise ValueError(one_line(error.__cause__ or error)) from error
            table = cls(
                space=restored(values["space"]),
                layers=values["layers"],
                correction=Correction(**values["correction"]),
                facts=values["facts"],
            )
            if len(table.layers) != table.space.num_layers:
                raise ValueError("other layers than those of its space")
            table.lines()
            found = *table.milliseconds.ravel(), table.correction.fixed_ms
            if not all(0 <= value < math.inf for value in found):
                raise ValueError("a negative or infinite latency")
        return table

    def lines(self) -> list[str]:
        """What was measured, and how far it is to be believed, for people."""
        facts, held_out = self.facts, self.facts["held_out"]
        fixed_ms, factor, block_ms = self.correction
        device = f"{facts['provenance']['device']} ({facts['processor']})"
        found = [
            f"latency of {device}, batch {facts['batch']}, {facts['dtype']}",
            f"a network takes {fixed_ms:.3g} ms, {factor:.3g} times the sum of its "
            f"blocks and {block_ms:.3g} ms more for each",
        ]
        error, tau = held_out["mean_error"], held_out["tau_b"]
        if error is None:
            return [*found, "the space has too few networks to judge that"]
        found.append(
            f"on {held_out['networks']} other networks: error {error:.1%} in the mean, "
            f"{held_out['largest_error']:.1%} at most"
            + ("" if tau is None else f", rank correlation {tau:.2f} (tau-b)")
        )
        if error > CLOSE:
            found.append(
                f"warning: predictions are off by more than {CLOSE:.0%}: let no other "
                "program run, and measure again"
            )
        return found

    @property
    def milliseconds(self) -> np.ndarray:
        """float64[L, O]: what an op adds to a network; 0 where it is not allowed."""
        shape = self.space.allowed.shape
        ms, blocks = np.zeros(shape), np.zeros(shape, np.int64)
        for layer, op in zip(*np.nonzero(self.space.allowed), strict=True):
            row = self.layers[layer][self.space.ops[op].name]
            ms[layer, op], blocks[layer, op] = row["ms"], row["blocks"]
        return self.correction.of_ops(ms, blocks)

    def costs(self, space: SearchSpace) -> CostTable:
        """What the networks of a space cost, `latency_ms` among it.

        Args:
          space: the measured one, or the same with fewer ops to choose from.

        Raises:
          InputError: it is another one.
        """
        is_same = _bare(space) == _bare(self.space)
        is_part = is_same and not (space.allowed & ~self.space.allowed).any()
        got = f"one of {_described(self.space)}, whose layers are not the same"
        require(is_part, FIELD, f"a table of {_described(space)}", got)
        ms = self.milliseconds
        fixed_ms = self.correction.fixed_ms
        largest = fixed_ms + float(ms.max(axis=1).sum())
        step = 2.0 ** math.ceil(math.log2(max(largest, 1e-9) / STEPS))
        step = max(step, 1 / STEPS_PER_UNIT[LATENCY])
        kept = np.where(space.allowed, step * np.round(ms / step), 0.0)
        counted = cost_table(space)
        return CostTable(
            counted.tables | {LATENCY: kept},
            counted.fixed | {LATENCY: step * round(fixed_ms / step)},
        )


def costs_beside(path: Path, space: SearchSpace) -> CostTable:
    """What is counted and, where a file has it, latency."""
    return LatencyTable.read(path).costs(space) if path.exists() else cost_table(space)


def _bare(space: SearchSpace) -> SearchSpace:
    """The space without the choices of its layers."""
    layers = tuple(dataclasses.replace(layer, ops=()) for layer in space.layers)
    return dataclasses.replace(space, layers=layers)


def _described(space: Any) -> str:
    side, channels = space.image_size, space.image_channels
    return (
        f"space {space.name!r} at {side} x {side} x {channels} with "
        f"{space.num_classes} classes"
    )
