"""The lines of the table, each with its goal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.speed.table_cells import (
    Cells,
    candidates_scored,
    exact_front,
    gap_closed,
    gibibytes,
    images_a_second,
    images_per_core,
    input_share,
    rank_correlation,
    seconds_to_compile,
    share_of_peak,
    times,
    traffic,
)

TUNED, DEFAULT = "PyTorch, tuned", "PyTorch, as installed"


@dataclasses.dataclass(frozen=True)
class TableRow:
    """A line of the table.

    Attributes:
      measurement: key of `measurements.MEASUREMENTS`.
      title: what was measured.
      reference: what it is compared with; empty where there is nothing.
      cells: values of the measurement -> the line.
      goal: the largest ratio that is good enough; None without a goal.
    """

    measurement: str
    title: str
    reference: str
    cells: Callable[[dict[str, Any]], Cells]
    goal: float | None = None


def _rows() -> Iterator[TableRow]:
    yield from _updates()
    yield from _programs()
    yield from _input()
    yield from _search()


def _updates() -> Iterator[TableRow]:
    """Updates of the supernet and of a found network."""
    fair = "strictly fair update, 6 paths, BN-only"
    for reference, name, scale, goal in (
        (TUNED, "tuned_fair", 1, 0.9),
        (DEFAULT, "default_fair", 1, 0.55),
        ("six updates of one path, difnas_jax", "difnas_single", 6, 1.0),
    ):
        yield TableRow("fair", fair, reference, times("difnas_fair", name, scale), goal)
    single = "update of one path, another path each time, BN-only"
    for reference, name, goal in (
        (TUNED, "tuned_single", 1.1),
        (DEFAULT, "default_single", None),
    ):
        yield TableRow("single", single, reference, times("difnas_single", name), goal)
    for title, reference, name, other, goal in (
        (
            "update of one path, another path each time, all weights",
            TUNED,
            "difnas_all_weights",
            "tuned_all_weights",
            1.2,
        ),
        (
            "difnas_jax, one path, BN-only (2/3 of the arithmetic)",
            "difnas_jax, all weights",
            "difnas_single",
            "difnas_all_weights",
            None,
        ),
        (
            "PyTorch, tuned, one path, BN-only (2/3 of the arithmetic)",
            "PyTorch, tuned, all weights",
            "tuned_single",
            "tuned_all_weights",
            None,
        ),
    ):
        yield TableRow("weights", title, reference, times(name, other), goal)
    yield TableRow(
        "plain",
        "update of one path, always the same, BN-only",
        "the same with XLA's own convolutions",
        times("difnas_one_path", "difnas_plain_convolutions"),
        1 / 20,
    )
    yield TableRow(
        "ops",
        "update of one path, 7 ops a layer, BN-only",
        "the same paths, 2 ops a layer",
        times("difnas_seven_ops", "difnas_two_ops"),
        1.1,
    )
    yield TableRow(
        "retrain",
        "retraining step, k5e6 in every layer, batch 64",
        TUNED,
        times("difnas_retrain", "tuned_retrain"),
        1.2,
    )


def _programs() -> Iterator[TableRow]:
    """Compilation, several devices, memory, precision and arithmetic."""
    compiled = (
        "to trace, lower and compile the update of `mbv2`, 21 layers x 6 sampled ops, "
        "224 px, batch 32"
    )
    for cache, state, goal in (("cold", "empty", 45), ("cached", "filled", 20)):
        title = f"{compiled}, {state} cache; ratio: seconds"
        yield TableRow("compilation", title, "", seconds_to_compile(cache), goal)
    for bytes_of, purposes, goal in (
        ("gradients", ("gradients",), 0.02),
        ("gradients and batch-norm statistics", ("statistics", "gradients"), None),
    ):
        title = f"bytes all-reduced on 8 devices, `mbv2`, {bytes_of}, BN-only"
        yield TableRow("collectives", title, "all weights", traffic(*purposes), goal)
    yield TableRow(
        "devices",
        "strictly fair update, paths divided between two CPU devices",
        "batch divided between them",
        times("devices_paths", "devices_batch"),
    )
    for form, suffix in (("kept", ""), ("rematerialized", ", rematerialised")):
        title = f"memory at 224 px, batch 128, `mbv2`, indicator, float32{suffix}"
        yield TableRow("memory", title, "", gibibytes(form))
    correlated = "rank correlation of the indicator on the digits"
    for other, title in (
        ("bfloat16", "float32 with bfloat16"),
        ("another_seed", "two seeds in float32"),
    ):
        title = f"{correlated}, {title}"
        yield TableRow("precision", title, "", rank_correlation(other))
    title = "images x paths, strictly fair update"
    yield TableRow("peak", title, "", images_a_second)
    for name, library in (("matmul_jax", "JAX"), ("matmul_torch", "PyTorch")):
        title = "FLOPs a second, strictly fair update"
        reference = f"matrix product in {library}"
        yield TableRow("peak", title, reference, share_of_peak(name))


def _input() -> Iterator[TableRow]:
    """Making batches."""
    yield TableRow(
        "input",
        "waiting for a prefetched batch",
        "strictly fair update",
        times("waiting_fair", "difnas_fair"),
    )
    for size in (32, 512):
        title = f"making a batch of {size} images"
        cells = input_share(f"input_{size}")
        yield TableRow("input", title, "training on it", cells)
    for split, title in (("train", "augmentation"), ("evaluate", "evaluation")):
        title = f"images a core, ImageNet {title} at 224 px, 500 x 375 JPEG files"
        yield TableRow("images", title, "decoding alone", images_per_core(split))


def _search() -> Iterator[TableRow]:
    """The search alone."""
    for title, cells in (
        ("scores and costs of 1,000,000 candidates", candidates_scored),
        ("exact front, scores like ratios", exact_front("ratio")),
        ("exact front, scores follow the MACs", exact_front("follows")),
        ("exact front, scores are the MACs (worst case)", exact_front("macs")),
    ):
        title = f"{title}, 21 x 7, one core; ratio: seconds"
        yield TableRow("search", title, "", cells, 1.0)
    for score in ("ratio", "sum"):
        title = (
            "share of the gap from random search to the optimum that evolution closes, "
            f"`{score}` score of a trained indicator, `mbv2`, 475 M MACs, 12 seeds; "
            "ratio: share that stays open"
        )
        yield TableRow(
            "evolution", title, "without screening", gap_closed(score), goal=0.01
        )


TABLE_ROWS = tuple(_rows())
