"""Training-free columns of many architectures, streamed to a file and resumed."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.runtime import shutdown
from difnas_jax.runtime.columns import ColumnsWriter
from difnas_jax.runtime.metrics import Progress
from difnas_jax.runtime.processes import on_all_processes
from difnas_jax.scoring.proxies import PROXY_OF
from difnas_jax.scoring.proxies.measurement import ProxyMeasure, proxy_columns

CHUNK = 64  # architectures between two writings; at most these are lost by a kill
SHOW_EVERY = 4  # parts

Columns = dict[str, np.ndarray]


@dataclasses.dataclass
class Timed:
    """The measurement of one proxy, and what it has cost in this process.

    Attributes:
      measure: of its columns.
      first: seconds of the first call, on one architecture, which compiles.
      seconds: of the other calls.
      architectures: in the other calls.
    """

    measure: ProxyMeasure
    first: float = 0.0
    seconds: float = 0.0
    architectures: int = 0

    def __call__(self, architectures: np.ndarray) -> Columns:
        """The columns float64[N] of int[N, L]."""
        if not self.first:
            self.first = self._timed(architectures[:1])[1]
        found, seconds = self._timed(architectures)
        self.seconds += seconds
        self.architectures += len(architectures)
        return found

    def _timed(self, architectures: np.ndarray) -> tuple[Columns, float]:
        start = time.perf_counter()
        found = self.measure(architectures)
        return found, time.perf_counter() - start

    @property
    def cost(self) -> dict[str, float]:
        """Seconds to compile, and for one architecture without and with that."""
        each = self.seconds / max(self.architectures, 1)
        compiling = max(self.first - each, 0.0)
        shared = compiling / max(self.architectures, 1)
        return {"compile_s": compiling, "each_s": each, "with_compile_s": each + shared}


def measures(config: ConfigDict, names: Sequence[str]) -> dict[str, Timed]:
    """The measurement of each proxy that makes some of the columns.

    Args:
      config: as for `proxy_columns`.
      names: of the columns, keys of `COLUMNS`.

    Raises:
      InputError: as `proxy_columns`.
    """
    columns: dict[str, list[str]] = {}
    for name in names:
        columns.setdefault(PROXY_OF[name], []).append(name)
    return {proxy: Timed(proxy_columns(config, c)) for proxy, c in columns.items()}


def sweep(timed: Mapping[str, Timed], table: BenchmarkTable, path: Path) -> None:
    """Write the columns of all architectures of a table to a file.

    What an interrupted call has written is kept, and the bytes of the file are those of
    a call without interruption: parts begin at the same architectures.

    Args:
      timed: what is measured.
      table: the architectures.
      path: the file.

    Raises:
      InputError: what is there has other columns.
      Stopped: a signal was received; all finished parts are written.
    """
    names = [name for one in timed.values() for name in one.measure.columns]
    # A barrier: no process writes before all have read.
    writer = on_all_processes(lambda: ColumnsWriter(path, names))
    progress = Progress(path.stem, len(table), writer.rows)
    while writer.rows < len(table):
        shutdown.raise_if_stop_requested()
        part = table[np.arange(writer.rows, min(writer.rows + CHUNK, len(table)))]
        found: Columns = {}
        for one in timed.values():
            found |= one(part.architectures)
        writer.append(part.index, part.names.tolist(), found)
        progress.step(len(part))
        if writer.rows // CHUNK % SHOW_EVERY == 0:
            progress.report(writer.rows)
    progress.close()
    on_all_processes(writer.finish)
