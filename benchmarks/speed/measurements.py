"""The measurements by name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from benchmarks.speed.alternation import alternate
from benchmarks.speed.collectives import collectives
from benchmarks.speed.compilation import compilation
from benchmarks.speed.evolution import evolution
from benchmarks.speed.image_decoding import decoding
from benchmarks.speed.memory import memory
from benchmarks.speed.precision import precision
from benchmarks.speed.search import search

MEASUREMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "fair": functools.partial(
        alternate,
        ("difnas_fair", "difnas_single", "tuned_fair", "default_fair"),
        rounds=7,
    ),
    "single": functools.partial(
        alternate, ("difnas_single", "tuned_single", "default_single"), rounds=7
    ),
    "weights": functools.partial(
        alternate,
        ("difnas_single", "difnas_all_weights", "tuned_single", "tuned_all_weights"),
        rounds=5,
    ),
    "plain": functools.partial(
        alternate, ("difnas_one_path", "difnas_plain_convolutions"), rounds=1
    ),
    "ops": functools.partial(
        alternate, ("difnas_seven_ops", "difnas_two_ops"), rounds=11
    ),
    "retrain": functools.partial(
        alternate, ("difnas_retrain", "tuned_retrain"), rounds=5
    ),
    "peak": functools.partial(
        alternate, ("difnas_fair", "matmul_jax", "matmul_torch"), rounds=5
    ),
    "input": functools.partial(
        alternate, ("input_32", "input_512", "waiting_fair", "difnas_fair"), rounds=5
    ),
    "images": decoding,
    "devices": functools.partial(
        alternate, ("devices_paths", "devices_batch"), rounds=5
    ),
    "compilation": compilation,
    "memory": memory,
    "precision": precision,
    "collectives": collectives,
    "search": search,
    "evolution": evolution,
}
