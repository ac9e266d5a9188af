"""The networks of a benchmark table as scores without training rank them."""

from __future__ import annotations

import argparse

from benchmarks.evidence.method_scores import Ranking
from benchmarks.evidence.scored import Scored
from difnas_jax.config import load_config
from difnas_jax.config.build import build_wiring
from difnas_jax.errors import require
from difnas_jax.ranking.comparison import check_combination
from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.scoring.proxies import PROXY_OF
from difnas_jax.scoring.score_files import read_scores
from difnas_jax.scoring.sweep import costs_beside


def untrained(
    flags: argparse.Namespace, words: list[str], table: BenchmarkTable
) -> Ranking:
    """Score the table by columns that `difnas-jax rank` has measured.

    Args:
      flags: of `judge`.
      words: flags of fields of the config, of which there are none.
      table: what to rank.

    Raises:
      InputError: no such columns, an unknown combination, or fields of a training.
    """
    require(not words, "--config", "none beside --columns", " ".join(words))
    paths = sorted(flags.columns.glob("columns-seed*.csv"))
    expected = "a folder of `difnas-jax rank` with columns-seed*.csv"
    require(bool(paths), "--columns", expected, str(flags.columns))
    scores, table = read_scores(paths, (), [flags.combine], table)
    _, terms = check_combination(flags.combine, scores)
    costs = costs_beside(paths[-1])
    proxies = {PROXY_OF[term] for term in terms}
    each = sum(costs[name].numbers()["each_s"] for name in proxies)
    seconds = {"scoring": each * len(table.first_of_network)}
    return Ranking(
        name=flags.combine.replace(":", "-"),
        space=build_wiring(load_config(flags.benchmark)).searched,
        table=table,
        scored=[Scored(row, None, {}, {}, {}) for row in scores[flags.combine]],
        about={"columns": [path.name for path in paths], "seconds": [seconds]},
    )
