"""Speed of scoring and of the exact front on the space of 21 layers x 7 ops."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.speed.network import SEED
from difnas_jax import spaces
from difnas_jax.search.additive import sum_along_paths
from difnas_jax.search.exact import exact_front
from difnas_jax.search.population import Variation
from difnas_jax.spaces.costs import cost_table

CANDIDATES = 1_000_000
CHUNK = 10_000  # as many at once as stay in the cache
ROUNDS = 5


def search() -> dict[str, Any]:
    """Seconds of each round, on one core.

    Returns:
      `score`: scores and costs of `CANDIDATES` architectures; `front <table>` by kind
      of score table, with `size <table>`: `ratio` as that of an indicator, `follows`
      nearly, and `macs` exactly, the MACs, which is the worst there is.
    """
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:1])
    space = spaces.build("mbv2", image_size=224, image_channels=3, num_classes=1000)
    costs, rng = cost_table(space), np.random.default_rng(SEED)
    noise = rng.normal(size=space.allowed.shape)
    macs = costs.tables["macs"]
    share = macs / macs.max(1, keepdims=True)
    tables = {
        "ratio": 1 + 0.05 * noise,
        "follows": share + 0.2 * noise,
        "macs": macs / 1e6,
    }
    tables = {
        kind: np.where(space.allowed, table, np.nan) for kind, table in tables.items()
    }
    drawn = Variation(space, np.random.default_rng(SEED)).draw(CANDIDATES)
    chunks = np.split(drawn, CANDIDATES // CHUNK)

    def score() -> None:
        for genomes in chunks:
            sum_along_paths(tables["ratio"], genomes)
            costs.of(genomes)

    result: dict[str, Any] = {"score": _seconds(score)}
    for kind, table in tables.items():
        front = functools.partial(exact_front, table, costs)
        result[f"front {kind}"] = _seconds(front)
        result[f"size {kind}"] = len(front())
    os.sched_setaffinity(0, cores)
    return result


def _seconds(work: Callable[[], object]) -> list[float]:
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds
