"""From raw measurements to figures with goals: one row each."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from typing import Any

import scipy.stats

from benchmarks import network
from benchmarks.contestants import CONTESTANTS
from benchmarks.matmul import SIDE
from benchmarks.race import by_round
from benchmarks.search import CANDIDATES
from difnas_jax.costs import cost_table


@dataclasses.dataclass(frozen=True)
class Value:
    """One line of the table: two sides as text, and their ratio where it has one."""

    ours: str
    peer: str = ""
    ratio: float | None = None


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number that somebody wants to know.

    Attributes:
      title: what it is.
      measurement: key of `measurements.MEASUREMENTS`.
      value: raw measurement -> the line.
      goal: the largest ratio that is good enough; None where it is only stated.
    """

    title: str
    measurement: str
    value: Callable[[dict[str, Any]], Value]
    goal: float | None = None


def against(
    ours: str, peer: str, scale: float = 1.0
) -> Callable[[dict[str, Any]], Value]:
    """Times of two contestants: medians, and the median of the ratios by round.

    Args:
      ours: the contestant that should be fast.
      peer: the other one.
      scale: the peer's time counts so often.
    """

    def value(raw: dict[str, Any]) -> Value:
        mine = by_round(raw, ours)
        other = [scale * seconds for seconds in by_round(raw, peer)]
        ratios = [a / b for a, b in zip(mine, other, strict=True)]
        return Value(_median(mine), _median(other), statistics.median(ratios))

    return value


def seconds_to_compile(cache: str) -> Callable[[dict[str, Any]], Value]:
    """Trace, lower and compile; initialisation is shown beside it."""

    def value(raw: dict[str, Any]) -> Value:
        seconds = dict(raw[cache])
        start = seconds.pop("initialize")
        parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
        total = sum(seconds.values())
        return Value(f"{total:.1f} s ({parts}; initial values {start:.1f})", "", total)

    return value


def gibibytes(form: str) -> Callable[[dict[str, Any]], Value]:
    """What a step needs at once, and of what that is the sum."""

    def value(raw: dict[str, Any]) -> Value:
        parts = {name: size / 2**30 for name, size in raw[form].items()}
        shown = ", ".join(f"{n.replace('_', ' ')} {v:.2f}" for n, v in parts.items())
        return Value(f"{sum(parts.values()):.2f} GiB ({shown})")

    return value


def rank_correlation(other: str) -> Callable[[dict[str, Any]], Value]:
    """Spearman's, of the indicator after a training in float32 and after another."""

    def value(raw: dict[str, Any]) -> Value:
        rho = scipy.stats.spearmanr(raw["float32"], raw[other])[0]
        return Value(f"{rho:.3f}")

    return value


def traffic(*passes: str) -> Callable[[dict[str, Any]], Value]:
    """Bytes of BN-only against those of all weights."""

    def value(raw: dict[str, Any]) -> Value:
        ours, peer = (
            sum(raw[trainable][name] for name in passes)
            for trainable in ("all_bn", "all")
        )
        return Value(f"{ours:,.0f} B", f"{peer:,.0f} B", ours / peer)

    return value


def of_peak(peer: str) -> Callable[[dict[str, Any]], Value]:
    """Useful arithmetic a second against that of a matrix product, by round."""
    operations, product = _operations(), 2 * SIDE**3

    def value(raw: dict[str, Any]) -> Value:
        ours = [operations / seconds for seconds in by_round(raw, "ours_fair")]
        peak = [product / seconds for seconds in by_round(raw, peer)]
        shares = [a / b for a, b in zip(ours, peak, strict=True)]
        rate, best = (f"{statistics.median(x) / 1e9:.1f} GFLOP/s" for x in (ours, peak))
        return Value(rate, best, statistics.median(shares))

    return value


def images_a_second(raw: dict[str, Any]) -> Value:
    """Images times paths that pass through the supernet."""
    images = CONTESTANTS["ours_fair"].batch_size * 6
    rates = [images / seconds for seconds in by_round(raw, "ours_fair")]
    return Value(f"{statistics.median(rates):.1f} /s")


def candidates_scored(raw: dict[str, Any]) -> Value:
    """Seconds to score and cost a million candidates."""
    seconds = statistics.median(raw["score"])
    return Value(f"{CANDIDATES / seconds:,.0f} /s", "", 1e6 * seconds / CANDIDATES)


def exact_front(table: str) -> Callable[[dict[str, Any]], Value]:
    """Seconds of the exact front; its size is shown beside it."""

    def value(raw: dict[str, Any]) -> Value:
        seconds = statistics.median(raw[f"front {table}"])
        size = raw[f"size {table}"]
        return Value(f"{seconds:.3f} s ({size:,} networks)", "", seconds)

    return value


def input_share(name: str) -> Callable[[dict[str, Any]], Value]:
    """Making a batch against training on so many images (batch 32, scaled)."""
    batches = CONTESTANTS[name].batch_size / CONTESTANTS["ours_fair"].batch_size
    return against(name, "ours_fair", batches)


def _operations() -> int:
    """FLOPs of a BN-only strict-fair update.

    Two passes, forward and input gradient; six paths take every op once; a
    multiply-add is two operations.
    """
    costs = cost_table(network.six_ops())
    macs = int(costs.macs.sum()) + 6 * costs.fixed_macs
    return 2 * 2 * macs * CONTESTANTS["ours_fair"].batch_size


def _median(seconds: list[float]) -> str:
    return f"{1e3 * statistics.median(seconds):,.1f} ms"


FIGURES = (
    *(
        Figure(title, "fair", against("ours_fair", peer, scale), goal)
        for title, peer, scale, goal in (
            ("strict-fair update, 6 paths, BN-only: tuned torch", "tuned_fair", 1, 0.8),
            ("the same: default torch", "default_fair", 1, 0.55),
            ("the same: six single-path calls", "ours_single", 6, 1.0),
        )
    ),
    *(
        Figure(title, "single", against("ours_single", peer), goal)
        for title, peer, goal in (
            ("single-path update, path changes: tuned torch", "tuned_single", 1.0),
            ("the same: default torch", "default_single", None),
        )
    ),
    *(
        Figure(title, "weights", against(ours, peer), goal)
        for title, ours, peer, goal in (
            (
                "all-weights update, path changes: tuned torch",
                *("ours_all_weights", "tuned_all_weights", 1.3),
            ),
            (
                "ours, BN-only: ours, all weights (arithmetic 2/3)",
                *("ours_single", "ours_all_weights", None),
            ),
            (
                "tuned torch, BN-only: all weights (arithmetic 2/3)",
                *("tuned_single", "tuned_all_weights", None),
            ),
        )
    ),
    Figure(
        "one path, BN-only: plain XLA convolutions",
        "plain",
        against("ours_one_path", "ours_plain_convolutions"),
        1 / 20,
    ),
    Figure(
        "7 ops a layer: 2 ops a layer, same paths",
        "ops",
        against("ours_seven_ops", "ours_two_ops"),
        1.1,
    ),
    Figure(
        "retrain step, k5e6 everywhere, batch 64: tuned torch",
        "retrain",
        against("ours_retrain", "tuned_retrain"),
        1.3,
    ),
    *(
        Figure(title, "compilation", seconds_to_compile(cache), goal)
        for title, cache, goal in (
            ("trace + lower + compile, 21 x 7, batch 32, cold [s]", "cold", 60),
            ("the same with the persistent cache [s]", "cached", 15),
        )
    ),
    *(
        Figure(title, "collectives", traffic(*passes), goal)
        for title, passes, goal in (
            (
                "gradient bytes all-reduced, 4 devices, BN-only: all weights",
                *(("backward",), 0.02),
            ),
            (
                "the same with batch-norm statistics",
                *(("forward", "backward"), None),
            ),
        )
    ),
    Figure(
        "two CPU devices, strict-fair update, paths on devices: batch on devices",
        "devices",
        against("devices_paths", "devices_batch"),
    ),
    *(
        Figure(
            f"memory at 224, batch 128, mbv2, indicator, float32{title}", "memory", row
        )
        for title, row in (
            ("", gibibytes("kept")),
            (", rematerialized", gibibytes("rematerialized")),
        )
    ),
    *(
        Figure(f"rank correlation of indicators, digits: {title}", "precision", row)
        for title, row in (
            ("float32, bfloat16", rank_correlation("bfloat16")),
            ("two seeds in float32", rank_correlation("another_seed")),
        )
    ),
    Figure("images x paths, strict-fair update", "peak", images_a_second),
    *(
        Figure(f"FLOPs of the strict-fair update: {title}", "peak", of_peak(peer))
        for title, peer in (
            ("JAX matrix product", "matmul_jax"),
            ("torch matrix product", "matmul_torch"),
        )
    ),
    Figure(
        "waiting for prefetched batches: strict-fair update",
        "input",
        against("waiting_fair", "ours_fair"),
    ),
    *(
        Figure(f"making a batch of {size}: training on it", "input", input_share(name))
        for size, name in ((32, "input_32"), (512, "input_512"))
    ),
    *(
        Figure(f"{title}, 21 x 7, one core [s]", "search", value, 1.0)
        for title, value in (
            ("scoring and costing 1,000,000 candidates", candidates_scored),
            ("exact front, ratio-like scores", exact_front("ratio")),
            ("exact front, scores follow the MACs", exact_front("follows")),
            ("exact front, scores are the MACs (worst)", exact_front("macs")),
        )
    ),
)
