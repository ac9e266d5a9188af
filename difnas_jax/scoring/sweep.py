"""Training-free columns of many architectures, streamed to a file and resumed."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.runtime import files, provenance, shutdown
from difnas_jax.runtime.columns import ColumnsWriter
from difnas_jax.runtime.processes import is_main_process, on_all_processes
from difnas_jax.runtime.progress import Progress
from difnas_jax.scoring.proxies.measurement import ProxyMeasure

CHUNK = 64  # architectures between two writings; at most these are lost by a kill

Columns = dict[str, np.ndarray]


@dataclasses.dataclass
class Cost:
    """What a measurement has cost, over all sessions.

    Attributes:
      sessions: in which it was measured.
      first: seconds of their first calls, on one architecture each, which compile.
      seconds: of the other calls.
      architectures: in the other calls.
      device: of the last session.
    """

    sessions: int = 0
    first: float = 0.0
    seconds: float = 0.0
    architectures: int = 0
    device: str = ""

    def numbers(self) -> dict[str, float]:
        """Seconds to compile, and for one architecture without and with that."""
        each = self.seconds / max(self.architectures, 1)
        compiling = max(self.first - self.sessions * each, 0.0)
        shared = compiling / max(self.architectures, 1)
        return {"compile_s": compiling, "each_s": each, "with_compile_s": each + shared}


@dataclasses.dataclass
class Timed:
    """The measurement of the columns of one proxy, and what it costs.

    Attributes:
      measure: of the columns.
      cost: of the sessions before, to which is added.
      started: whether the first call, which compiles, was made.
    """

    measure: ProxyMeasure
    cost: Cost
    started: bool = False

    def __call__(self, architectures: np.ndarray) -> Columns:
        """The columns float64[N] of int[N, L]."""
        if not self.started:
            self.started = True
            self.cost.device = provenance.device()
            self.cost.first += self._timed(architectures[:1])[1]
            self.cost.sessions += 1
        found, seconds = self._timed(architectures)
        self.cost.seconds += seconds
        self.cost.architectures += len(architectures)
        return found

    def _timed(self, architectures: np.ndarray) -> tuple[Columns, float]:
        start = time.perf_counter()
        found = self.measure(architectures)
        return found, time.perf_counter() - start


def costs_beside(path: Path) -> dict[str, Cost]:
    """What each proxy has cost so far, of a file of columns; empty if none is known.

    Raises:
      InputError: the file of the costs is damaged.
    """
    path = _costs_path(path)
    if not path.exists():
        return {}
    with files.damage_as_input_error(path, "the costs of columns"):
        return {name: Cost(**cost) for name, cost in files.read_json(path).items()}


def _costs_path(path: Path) -> Path:
    return path.with_name(f"{path.stem.replace('columns', 'costs')}.json")


def sweep(
    measured: Mapping[str, ProxyMeasure], table: BenchmarkTable, path: Path
) -> None:
    """Write the columns of all architectures of a table to a file.

    What an interrupted call has written is kept, and the bytes of the file are those of
    a call without interruption: parts begin at the same architectures. A JSON file
    beside it has the costs, see `costs_beside`.

    Args:
      measured: what is measured, by proxy.
      table: the architectures.
      path: the file.

    Raises:
      InputError: what is there has other columns.
      Stopped: a signal was received; all finished parts are written.
    """
    names = [name for one in measured.values() for name in one.columns]
    # A barrier: no process writes before all have read.
    writer = on_all_processes(lambda: ColumnsWriter(path, names))
    before = costs_beside(path) if writer.rows else {}
    timed = {n: Timed(one, before.get(n, Cost())) for n, one in measured.items()}
    progress = Progress(path.stem, len(table), writer.rows, "networks")
    while writer.rows < len(table):
        shutdown.raise_if_stop_requested()
        part = table[np.arange(writer.rows, min(writer.rows + CHUNK, len(table)))]
        found: Columns = {}
        for one in timed.values():
            found |= one(part.architectures)
        writer.append(part.index, part.names.tolist(), found)
        if is_main_process():
            costs = {name: dataclasses.asdict(one.cost) for name, one in timed.items()}
            files.write_json(_costs_path(path), costs)
        progress.step(len(part))
    progress.finish()
    on_all_processes(writer.finish)
