"""Scores of the architectures of a table, from files of columns."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from difnas_jax.errors import require
from difnas_jax.ranking.comparison import NULLS, Scores, combined, counted
from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.runtime.columns import Columns
from difnas_jax.scoring.proxies import COLUMNS


def oriented(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Columns of which larger is better in all, by another sign of some.

    A second call gives the first ones back.

    Args:
      columns: by name; of unknown names larger is better already.
    """
    lower = {name for name, column in COLUMNS.items() if not column.higher_is_better}
    return {n: -column if n in lower else column for n, column in columns.items()}


def read_scores(
    paths: Sequence[Path],
    names: Sequence[str],
    combinations: Sequence[str],
    table: BenchmarkTable,
) -> tuple[Scores, BenchmarkTable]:
    """What is ranked, of the architectures that every file has measured.

    Args:
      paths: a file for each repeat.
      names: of the columns; empty: all of the first file.
      combinations: see `combined`.
      table: of the architectures.

    Returns:
      `NULLS`, which are counted also where a file has such columns, the columns of the
      files in their direction, and the combinations; and the rows of the table.

    Raises:
      InputError: a damaged file, one with fewer than two of the architectures, or an
        unknown name.
    """
    first = Columns.read(paths[0], names)
    repeats = [first, *(Columns.read(path, tuple(first.values)) for path in paths[1:])]
    for path, one in zip(paths, repeats, strict=True):
        table = table[np.isin(table.index, one.index[one.measured])]
        expected = "two architectures of the table with a number in every column"
        require(len(table) > 1, str(path), expected, len(table))
    known = oriented(counted(table))
    scores = {name: known[name] for name in NULLS}
    own = [name for name in first.values if name not in NULLS]
    columns = {n: np.stack([r.of(n, table.index) for r in repeats]) for n in own}
    scores |= oriented(columns)
    return scores | {t: combined(t, known | scores) for t in combinations}, table
