"""From the values of a measurement to a line of the table."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.speed import floors, network
from benchmarks.speed.floors import Limits
from benchmarks.speed.matrix_product import COPIED, SIDE
from benchmarks.speed.programs import PROGRAMS
from benchmarks.speed.search import CANDIDATES
from difnas_jax.spaces.costs import cost_table

Values = dict[str, Any]
UPDATES = ("difnas_update", "torch_update", "devices")  # modules


@dataclasses.dataclass(frozen=True)
class Cells:
    """What a line of the table shows.

    Attributes:
      value: what was measured, with its unit.
      reference: the same of what it is compared with; empty where there is nothing.
      ratio: value over reference, or the number that has a goal; None without either.
      update: key of `PROGRAMS` whose time the value is; empty where it is no update.
    """

    value: str
    reference: str = ""
    ratio: float | None = None
    update: str = ""


def times(
    name: str, reference: str, scale: float = 1.0
) -> Callable[[dict[str, Any]], Cells]:
    """Median time of two programs, and the median over rounds of their ratio.

    Args:
      name: the program of the line.
      reference: the program that it is compared with.
      scale: how many updates of the reference count as one.
    """

    def cells(values: Values) -> Cells:
        own = values["seconds"][name]
        other = [scale * seconds for seconds in values["seconds"][reference]]
        ratios = [a / b for a, b in zip(own, other, strict=True)]
        update = name if PROGRAMS[name].module in UPDATES else ""
        return Cells(_median(own), _median(other), statistics.median(ratios), update)

    return cells


def measured_limits(peak: Values) -> Limits | None:
    """Of the machine, from the measurement `peak`; None where it copied nothing."""
    seconds = {name: statistics.median(of) for name, of in peak["seconds"].items()}
    if "copy_jax" not in seconds:
        return None
    bandwidth = 2 * 4 * COPIED / seconds["copy_jax"]
    return Limits(bandwidth, 2 * SIDE**3 / seconds["matmul_jax"])


def over_floors(values: Values, update: str, limits: Limits) -> str:
    """How often the median time of an update holds the two times of `floors`."""
    seconds = statistics.median(values["seconds"][update])
    work = floors.of_program(PROGRAMS[update])
    gaps = (seconds / work.seconds(limits, rule) for rule in ("least", "unfused"))
    return ", ".join(f"{gap:.1f}" for gap in gaps)


def seconds_to_compile(cache: str) -> Callable[[Values], Cells]:
    """Seconds to trace, lower and compile, and beside them those of initialisation."""

    def cells(values: Values) -> Cells:
        seconds = dict(values[cache])
        start = seconds.pop("initialize")
        parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
        total = sum(seconds.values())
        return Cells(f"{total:.1f} s ({parts}; initial values {start:.1f})", "", total)

    return cells


def gibibytes(form: str) -> Callable[[Values], Cells]:
    """Memory of a step, and the parts of which it is the sum."""

    def cells(values: Values) -> Cells:
        parts = {name: size / 2**30 for name, size in values[form].items()}
        shown = ", ".join(f"{n.replace('_', ' ')} {v:.2f}" for n, v in parts.items())
        return Cells(f"{sum(parts.values()):.2f} GiB ({shown})")

    return cells


def rank_correlation(other: str) -> Callable[[Values], Cells]:
    """Spearman's rho of the indicators of two trainings."""
    return lambda values: Cells(f"{values[other]:.3f}")


def traffic(*purposes: str) -> Callable[[Values], Cells]:
    """Bytes with batch norms alone training, against those of all weights."""

    def cells(values: Values) -> Cells:
        bn_only, all_weights = (
            sum(
                values[f"batch {trained}"][f"{name} all-reduce bytes"]
                for name in purposes
            )
            for trained in ("all_bn", "all")
        )
        ratio = bn_only / all_weights
        return Cells(f"{bn_only:,.0f} B", f"{all_weights:,.0f} B", ratio)

    return cells


def share_of_peak(product: str) -> Callable[[Values], Cells]:
    """Arithmetic a second of the update, against that of a matrix product."""
    operations, of_product = _operations(), 2 * SIDE**3

    def cells(values: Values) -> Cells:
        seconds = values["seconds"]
        own = [operations / one for one in seconds["difnas_fair"]]
        peak = [of_product / one for one in seconds[product]]
        shares = [a / b for a, b in zip(own, peak, strict=True)]
        rate, best = (f"{statistics.median(x) / 1e9:.1f} GFLOP/s" for x in (own, peak))
        return Cells(rate, best, statistics.median(shares))

    return cells


def images_a_second(values: Values) -> Cells:
    """Images a second, each counted once for every path that it passes through."""
    images = PROGRAMS["difnas_fair"].batch_size * 6
    rates = [images / seconds for seconds in values["seconds"]["difnas_fair"]]
    return Cells(f"{statistics.median(rates):.1f} /s")


def candidates_scored(values: Values) -> Cells:
    """Candidates a second, and the seconds of a million of them."""
    seconds = statistics.median(values["score"])
    return Cells(
        f"{CANDIDATES / seconds / 1e6:.2f} million /s", "", 1e6 * seconds / CANDIDATES
    )


def exact_front(table: str) -> Callable[[Values], Cells]:
    """Seconds to compute the exact front, and its size."""

    def cells(values: Values) -> Cells:
        seconds = statistics.median(values[f"front {table}"])
        size = values[f"size {table}"]
        return Cells(f"{seconds:.3f} s ({size:,} networks)", "", seconds)

    return cells


def input_share(name: str) -> Callable[[Values], Cells]:
    """Time to make a batch, against that to train on as many images."""
    batches = PROGRAMS[name].batch_size / PROGRAMS["difnas_fair"].batch_size
    return times(name, "difnas_fair", batches)


def images_per_core(split: str) -> Callable[[Values], Cells]:
    """Images a second and core, against decoding the files and nothing else."""

    def cells(values: Values) -> Cells:
        own, limit = (1 / statistics.median(values[name]) for name in (split, "decode"))
        reference = f"{limit:,.0f} /s ({values['kilobytes']:.0f} KB a file)"
        return Cells(f"{own:,.0f} /s", reference, own / limit)

    return cells


def gap_closed(score: str) -> Callable[[Values], Cells]:
    """Share of the gap between random search and the optimum that evolution closes.

    The ratio is the share that stays open, mean over seeds.
    """

    def cells(values: Values) -> Cells:
        screened, plain = (
            f"mean {statistics.mean(shares):.4f}, worst {min(shares):.4f}"
            for shares in (values[score], values[f"{score} plain"])
        )
        return Cells(screened, plain, 1 - statistics.mean(values[score]))

    return cells


def _operations() -> int:
    """FLOPs of a strictly fair update that trains the batch norms.

    Two passes, forward and input gradient; six paths take every op once; a
    multiply-add is two operations.
    """
    costs = cost_table(network.six_ops())
    macs = int(costs.tables["macs"].sum() + 6 * costs.fixed["macs"])
    return 2 * 2 * macs * PROGRAMS["difnas_fair"].batch_size


def _median(seconds: list[float]) -> str:
    return f"{1e3 * statistics.median(seconds):,.1f} ms"
