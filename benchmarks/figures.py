"""What the table shows: one row for each figure, with its goal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from benchmarks.values import (
    Value,
    against,
    candidates_scored,
    exact_front,
    gibibytes,
    images_a_second,
    images_per_core,
    input_share,
    of_peak,
    rank_correlation,
    seconds_to_compile,
    traffic,
    way_to_the_optimum,
)


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
                "ours_all_weights",
                "tuned_all_weights",
                1.3,
            ),
            (
                "ours, BN-only: ours, all weights (arithmetic 2/3)",
                "ours_single",
                "ours_all_weights",
                None,
            ),
            (
                "tuned torch, BN-only: all weights (arithmetic 2/3)",
                "tuned_single",
                "tuned_all_weights",
                None,
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
                ("backward",),
                0.02,
            ),
            (
                "the same with batch-norm statistics",
                ("forward", "backward"),
                None,
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
        Figure(
            f"images per core, ImageNet {title} at 224, synthetic 500 x 375 JPEGs: "
            "decoding them alone",
            "images",
            images_per_core(side),
        )
        for title, side in (("augmentation", "train"), ("evaluation", "evaluate"))
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
    *(
        Figure(
            f"way from random to the optimum that evolution lacks, {score} score of a "
            "trained indicator of mbv2, 475 M MACs, 12 seeds",
            "evolution",
            way_to_the_optimum(score),
            goal=0.01,
        )
        for score in ("ratio", "sum")
    ),
)
