"""The files through which stages communicate: their names, contents and checks."""

import csv
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from difnas_jax.errors import require
from difnas_jax.runtime import files
from difnas_jax.search.candidates import SCORE, Candidates
from difnas_jax.spaces.base import Architecture, SearchSpace
from difnas_jax.spaces.costs import LATENCY as LATENCY_MS
from difnas_jax.spaces.costs import MACS, PARAMS, cost_table

SUPERNET_CHECKPOINTS = "supernet/checkpoints"
SUPERNET_METRICS = "supernet/metrics.jsonl"
SUPERNET_RESULT = "supernet/trained.json"
ROOM = "supernet/room.jsonl"  # where updates are projected
DISTURBANCE = "supernet/disturbance.jsonl"  # where `supernet.disturbance_every` asks
INDICATOR = "indicator.npz"
SEARCH_STATE = "search/state.json"
SEARCH_HISTORY = "search/history.jsonl"
CANDIDATES = "search/candidates.csv"
PARETO = "search/pareto.csv"
BEST = "search/best.json"
COMPARISON = "search/comparison.json"
EXACT_FRONT = "search/exact_front.csv"
LATENCY = "search/latency.json"  # the table that the search had, where it had one
RETRAIN_CHECKPOINTS = "retrain/checkpoints"
RETRAIN_METRICS = "retrain/metrics.jsonl"
RETRAIN_RESULT = "retrain/result.json"
RETRAIN_NETWORK = "retrain/network.json"
NETWORK = "network.json"  # in the folder of each network that is trained
RETRAIN = "retrain"
TEACHER = "retrain/taught_by"  # what says of a workdir's network which one it is
RETRAIN_NETWORKS = "retrain/networks"  # a folder for each, where there are several
EXPORT = "export"  # a folder with a file for each form of the network
ISOMETRY = "isometry.json"  # of a command of its own
SEARCHES = "searches"  # a folder for each named one, with artefacts of its own
RESULTS = "results.json"
DATA = "data.json"  # what the run read, see `data.DataSummary`
REPORT = "report.html"
FIGURES = "figures"
OTHER_WORKDIR = "use the workdir of that space"
# What the result of each of several retrained networks holds among other things.
RUNNER_UP_KEYS = ("architecture", "ops", "score", MACS, PARAMS, "retrained_in")
RUNNER_UP_KEYS += ("validation_accuracy", "test_accuracy")


@dataclasses.dataclass(frozen=True)
class Indicator:
    """The value of each candidate, read off the trained supernet.

    Attributes:
      table: float64[L, O], the method's indicator of each candidate; NaN where an op is
        not allowed or has no indicator.
      gammas: raw gamma, float32[C], by `<layer>/<op name>`.
      provenance: where the numbers come from (space, seed, data, versions).
    """

    table: np.ndarray
    gammas: dict[str, np.ndarray]
    provenance: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write `indicator.npz`: `table`, `gamma/<layer>/<op>`, `provenance` (JSON)."""
        arrays: dict[str, Any] = {f"gamma/{n}": g for n, g in self.gammas.items()}
        arrays["table"] = self.table
        arrays["provenance"] = np.asarray(json.dumps(self.provenance))
        with files.atomic_write(path, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path, space: SearchSpace) -> Self:
        """Read `indicator.npz` for `space`.

        Raises:
          InputError: missing, damaged, or for a space of another shape.
        """
        with files.damage_as_input_error(path, "an indicator table"):
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as values:
                arrays = {name: values[name] for name in values.files}
            table = np.asarray(arrays.pop("table"), np.float64)
            provenance = json.loads(str(arrays.pop("provenance")))
        shape, expected = list(table.shape), [space.num_layers, space.num_ops]
        what = f"a table [L, O] = {expected} for space {space.name!r}"
        require(shape == expected, str(path), what, f"{shape}; {OTHER_WORKDIR}")
        gammas = {name.removeprefix("gamma/"): gamma for name, gamma in arrays.items()}
        return cls(table, gammas, provenance)


@dataclasses.dataclass(frozen=True)
class FoundNetwork:
    """The result of a search: one architecture and what is known about it.

    Attributes:
      space: name of the search space.
      architecture: L op indices.
      ops: the same as op names.
      text: the same in one line, as the space writes it.
      score: of the search, higher is better; None where a user gave the network.
      costs: of the network that is retrained, by name (`macs`, `params`, ...).
      budget: the bounds, by field name; 0 is no bound.
      seed: the seed of the run.
      provenance: the method, its score rule, and versions.
    """

    space: str
    architecture: Architecture
    ops: tuple[str, ...]
    text: str
    score: float | None
    costs: dict[str, float]
    budget: dict[str, float]
    seed: int
    provenance: dict[str, Any]

    def save(self, path: Path, runners_up: Sequence[Self] = ()) -> None:
        """Write `best.json`, with the other networks that were kept, best first."""
        value = dataclasses.asdict(self)
        if runners_up:
            value["runners_up"] = [dataclasses.asdict(other) for other in runners_up]
        files.write_json(path, value)

    @classmethod
    def load(cls, path: Path, space: SearchSpace) -> Self:
        """Read the best network of `best.json`; see `load_kept`."""
        return cls.load_kept(path, space)[0]

    @classmethod
    def load_kept(cls, path: Path, space: SearchSpace) -> list[Self]:
        """Read all networks of `best.json` for `space`, best first.

        Raises:
          InputError: missing, damaged, for another space, or an architecture that the
            space does not allow.
        """
        best = files.read_json(path)
        with files.damage_as_input_error(path, "a network and its runners-up"):
            values = [best, *map(dict, best.get("runners_up", ()))]
        return [cls._of(value, path, space) for value in values]

    @classmethod
    def _of(cls, value: dict[str, Any], path: Path, space: SearchSpace) -> Self:
        names = [field.name for field in dataclasses.fields(cls)]
        written = [name for name in names if name not in ("ops", "text")]
        with files.damage_as_input_error(path, "a network of a search"):
            if missing := [name for name in written if name not in value]:
                raise ValueError("no " + ", ".join(missing))
        what, other = f"a network of space {space.name!r}", value["space"]
        got = f"one of {other!r}; {OTHER_WORKDIR}"
        require(other == space.name, str(path), what, got)
        with files.damage_as_input_error(path, "an architecture of this space"):
            architecture = _checked_architecture(value, space)
        value |= {"architecture": architecture, "ops": space.op_names(architecture)}
        value["text"] = space.text(architecture)
        return cls(**{name: value[name] for name in names})


def _checked_architecture(value: dict[str, Any], space: SearchSpace) -> Architecture:
    """The architecture of a `best.json`, if its numbers belong to it and the space."""
    if not all(type(op) is int for op in value["architecture"]):
        raise ValueError("op indices are whole numbers")
    architecture = space.validate(value["architecture"])
    if not isinstance(value["score"], float | int | None):
        raise ValueError(f"the score is {value['score']!r}")
    costs, given = cost_table(space).of_one(architecture), value["costs"]
    latency = given.get(LATENCY_MS, 0.0) if isinstance(given, dict) else None
    fits = given in (costs, {**costs, LATENCY_MS: latency})
    if not fits or not isinstance(latency, float):
        raise ValueError(
            f"it says that the costs are {value['costs']}, with this config the "
            f"architecture has {costs}"
        )
    return architecture


def save_candidates(path: Path, candidates: Candidates) -> None:
    """Write a CSV: rank, the columns (score, macs, params, ...), architecture."""
    with files.atomic_write(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("rank", *candidates.columns, "architecture"))
        for index, architecture in enumerate(candidates.architectures.tolist()):
            ops = " ".join(map(str, architecture))
            rows.writerow((index + 1, *candidates.row(index).values(), ops))


def load_comparison(path: Path) -> list[dict[str, Any]]:
    """Read the rows of `comparison.json`; see `search.candidates.compare`.

    Raises:
      InputError: missing or damaged.
    """
    rows = files.read_json(path, ("chosen", "rows"))["rows"]
    keys = (SCORE, MACS, PARAMS, "evaluated", "seconds")
    with files.damage_as_input_error(path, "a comparison of algorithms"):
        for row in rows:
            numbers = [row[key] for key in keys]
            numbers += [row[key] or 0 for key in ("regret", "share")]
            if not all(isinstance(number, int | float) for number in numbers):
                raise ValueError(f"no number in one of {', '.join(keys)}")
            str(row["algorithm"])
    return rows


def load_retrained(path: Path) -> list[dict[str, Any]]:
    """Read `result.json`: the retrained network, then its runners-up, best first.

    Raises:
      InputError: missing or damaged.
    """
    result = files.read_json(path, ("architecture", "test_accuracy"))
    with files.damage_as_input_error(path, "the result of retraining"):
        others = [dict(row) for row in result.get("runners_up", ())]
        for name in RUNNER_UP_KEYS if others else ():
            if not all(name in row for row in (result, *others)):
                raise ValueError(f"no {name}")
        if not all(isinstance(r["architecture"], list) for r in (result, *others)):
            raise ValueError("an architecture is not a list")
    return [result, *others]


def load_candidates(path: Path) -> Candidates:
    """Read what `save_candidates` wrote.

    Raises:
      InputError: missing or damaged.
    """
    with files.damage_as_input_error(path, "a table of candidates"):
        with open(path, newline="") as file:
            head, *rows = csv.reader(file)
        values = dict(zip(head, zip(*rows, strict=True), strict=True))
        del values["rank"]
        ops = [text.split() for text in values.pop("architecture")]
        columns = {name: _numbers(texts) for name, texts in values.items()}
        if missing := {SCORE, MACS, PARAMS} - columns.keys():
            raise ValueError("no " + ", ".join(missing))
        return Candidates(np.array(ops, np.int64), columns)


def _numbers(texts: Sequence[str]) -> np.ndarray:
    """int64[N] where all are whole numbers, else float64[N]."""
    try:
        return np.array(texts, np.int64)
    except ValueError:
        return np.array(texts, np.float64)
