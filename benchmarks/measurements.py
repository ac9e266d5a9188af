"""What is measured: one row each, run by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from benchmarks.collectives import collectives
from benchmarks.compilation import compilation
from benchmarks.evolution import evolution
from benchmarks.images import images
from benchmarks.memory import memory
from benchmarks.precision import precision
from benchmarks.race import race
from benchmarks.search import search

MEASUREMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "fair": functools.partial(
        race, ("ours_fair", "ours_single", "tuned_fair", "default_fair"), rounds=7
    ),
    "single": functools.partial(
        race, ("ours_single", "tuned_single", "default_single"), rounds=7
    ),
    "weights": functools.partial(
        race,
        ("ours_single", "ours_all_weights", "tuned_single", "tuned_all_weights"),
        rounds=5,
    ),
    "plain": functools.partial(
        race, ("ours_one_path", "ours_plain_convolutions"), rounds=1
    ),
    "ops": functools.partial(race, ("ours_seven_ops", "ours_two_ops"), rounds=11),
    "retrain": functools.partial(race, ("ours_retrain", "tuned_retrain"), rounds=5),
    "peak": functools.partial(
        race, ("ours_fair", "matmul_jax", "matmul_torch"), rounds=5
    ),
    "input": functools.partial(
        race, ("input_32", "input_512", "waiting_fair", "ours_fair"), rounds=5
    ),
    "images": images,
    "devices": functools.partial(race, ("devices_paths", "devices_batch"), rounds=5),
    "compilation": compilation,
    "memory": memory,
    "precision": precision,
    "collectives": collectives,
    "search": search,
    "evolution": evolution,
}
