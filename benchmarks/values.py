"""From raw measurements to the lines of the table."""

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
from difnas_jax.spaces.costs import cost_table


@dataclasses.dataclass(frozen=True)
class Value:
    """One line of the table: two sides as text, and their ratio where it has one."""

    ours: str
    peer: str = ""
    ratio: float | None = None


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


def images_per_core(side: str) -> Callable[[dict[str, Any]], Value]:
    """Images a second and core, beside those of decoding alone."""

    def value(raw: dict[str, Any]) -> Value:
        ours, limit = (1 / statistics.median(raw[name]) for name in (side, "decode"))
        size = statistics.mean(raw["kilobytes"])
        limit_text = f"{limit:,.0f} /s ({size:.0f} KB a file)"
        return Value(f"{ours:,.0f} /s", limit_text, ours / limit)

    return value


def _operations() -> int:
    """FLOPs of a BN-only strict-fair update.

    Two passes, forward and input gradient; six paths take every op once; a
    multiply-add is two operations.
    """
    costs = cost_table(network.six_ops())
    macs = int(costs.tables["macs"].sum()) + 6 * costs.fixed["macs"]
    return 2 * 2 * macs * CONTESTANTS["ours_fair"].batch_size


def _median(seconds: list[float]) -> str:
    return f"{1e3 * statistics.median(seconds):,.1f} ms"


def way_to_the_optimum(score: str) -> Callable[[dict[str, Any]], Value]:
    """Evolution with and without screening; the ratio is what lacks on average."""

    def value(raw: dict[str, Any]) -> Value:
        ours, plain = (
            f"mean {statistics.mean(shares):.4f}, worst {min(shares):.4f}"
            for shares in (raw[score], raw[f"{score} plain"])
        )
        return Value(
            ours, f"{plain} without screening", 1 - statistics.mean(raw[score])
        )

    return value
