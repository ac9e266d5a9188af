"""The searches that are judged: which score chooses the network.

A search is a row: its title, and how a seed of it scores the networks of a table.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.evidence import one_cell
from benchmarks.evidence.search_scores import (
    Score,
    counted,
    ranked,
    supernet,
    without_training,
)


class Search(NamedTuple):
    """A search.

    Attributes:
      title: of its row.
      score: of what it is given and a seed.
      seeds: how many, from 0.
    """

    title: str
    score: Score
    seeds: int = 10


CELLS = f"--config.space.name={one_cell.NAME}", "--size=16", "--updates=1200"
SHORT = "--size=16", "--updates=250"
IN_TRAINING = "--config.method.indicator=main_effect"
MEASURED = "--config.method.measured_batches=100"
COUNTS = {
    "layer_count": Search("layer count", counted("layer count"), 1),
    "macs": Search("MACs", counted("MACs"), 1),
    "params": Search("params", counted("params"), 1),
}
# By benchmark and name.
SEARCHES: dict[str, dict[str, Search]] = {
    "nas_bench_macro": {
        "dinas": Search(
            "DI-NAS (the default), 250 updates", supernet("--method=default", *SHORT)
        ),
        "logit_gamma": Search(
            "gammas of the logits, batch norms alone, 250 updates",
            supernet("--method=logit_gamma", *SHORT),
        ),
        "logit_gamma_effect": Search(
            "main effects of the same supernets",
            supernet("--method=logit_gamma", *SHORT, IN_TRAINING),
        ),
        "logit_gamma_2000": Search(
            "gammas of the logits, 2000 updates", ranked("logit_gamma_2000"), 3
        ),
        "frozen_effect_2000": Search(
            "main effects of the same supernets", ranked("frozen_effect_2000"), 3
        ),
        "main_effect_1700": Search(
            "main effects after training, 1700 updates", ranked("main_effect_1700"), 3
        ),
        "main_effect": Search(
            "main effects, 250 updates",
            supernet("--method=main_effect", *SHORT, MEASURED),
        ),
        "training_free": Search(
            "`swap` + `expressivity` of 400 networks, no training",
            without_training("sum_log_rank:swap+expressivity"),
        ),
        "reductions": Search(
            "layer count, reductions double",
            counted("layer count, reductions double"),
            1,
        ),
        **COUNTS,
    },
    "nas_bench_201": {
        "dinas": Search(
            "DI-NAS (the default), one cell a stage, 1200 updates",
            supernet("--method=default", *CELLS),
            1,
        ),
        "logit_gamma": Search(
            "gammas of the logits, batch norms alone, one cell a stage, 1200 updates",
            supernet("--method=logit_gamma", *CELLS),
            1,
        ),
        "logit_gamma_effect": Search(
            "main effects of the same supernet",
            supernet("--method=logit_gamma", *CELLS, IN_TRAINING),
            1,
        ),
        "main_effect": Search(
            "main effects, one cell a stage, 1200 updates",
            supernet("--method=main_effect", *CELLS, IN_TRAINING),
            1,
        ),
        "five_cells": Search(
            "main effects, five cells a stage, 300 updates",
            supernet("--method=main_effect", "--size=16", "--updates=300", IN_TRAINING),
            1,
        ),
        "training_free": Search(
            "six terms of 400 networks, no training",
            without_training(
                "sum_log_rank:expressivity+large_depth+pool_paths+swap+synflow"
                "+unpooled_paths"
            ),
        ),
        **COUNTS,
    },
}
