"""The scores of networks by every indicator and rule that one training serves."""

from __future__ import annotations

import contextlib
import copy
import itertools

import numpy as np
from ml_collections import ConfigDict

from difnas_jax import checks
from difnas_jax.config.build import build_wiring
from difnas_jax.errors import InputError
from difnas_jax.ranking.tables import BenchmarkTable
from difnas_jax.scoring.indicators import INDICATORS, Evidence
from difnas_jax.scoring.scorers import table_of
from difnas_jax.search.additive import (
    ADDITIVE_RULES,
    DROPPED_LAYERS,
    sum_along_paths,
)
from difnas_jax.search.equal_networks import highest_scoring_paths
from difnas_jax.spaces.base import SearchSpace


def indicator_tables(config: ConfigDict, evidence: Evidence) -> dict[str, np.ndarray]:
    """`<indicator> <score>` -> float64[L, O] of all that this training can give.

    Behind it, where the identity was always on, what dropping a layer scores.
    """
    tables, config = {}, copy.deepcopy(config)
    always_on = build_wiring(config).parallel
    dropped = list(DROPPED_LAYERS) if always_on else [config.method.dropped_layer]
    for (name, indicator), rule, drop in itertools.product(
        INDICATORS.items(), ADDITIVE_RULES, dropped
    ):
        config.method.update(score=rule, dropped_layer=drop)
        config.method.indicator = name
        measured = not indicator.measures or evidence.measured is not None
        if measured and indicator.memory in ("nothing", config.method.memory):
            # A ratio to something negative, or paths that the supernet does not have.
            with contextlib.suppress(InputError):
                checks.check_indicator(config, build_wiring(config))
                values = table_of(config, indicator.measure(evidence))
                parts = (name, rule, drop) if always_on else (name, rule)
                tables[" ".join(parts)] = values
    return tables


def summed(values: np.ndarray, table: BenchmarkTable, space: SearchSpace) -> np.ndarray:
    """float64[N]: the score of each name, along the best path of its network."""
    paths = highest_scoring_paths(table.architectures, values, space)
    return sum_along_paths(values, paths)
