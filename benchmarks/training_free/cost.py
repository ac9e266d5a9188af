"""What training-free scores cost, beside one gradient an image as their authors do.

    python -m benchmarks.training_free.cost --data=cifar10.npz

Cells of NAS-Bench-201, the same for all rows:

  compiled once    the rows of `scoring/proxies`: paths switch between ops
  masks            the same NTK with weights 1 and 0 for the ops: all of them run
  a trace each     the same NTK, compiled for each found network
  image by image   one forward and backward pass for each image of a batch: the loop of
                   the releases of TE-NAS and TEG-NAS, compiled
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import markdown, result_files
from benchmarks.provenance import provenance
from benchmarks.result_files import Results
from difnas_jax.config.build import build_space
from difnas_jax.config.files import load_config
from difnas_jax.errors import require
from difnas_jax.runtime import files
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.scoring.proxies import PROXIES, kernels
from difnas_jax.scoring.proxies.base import on_host, split_weights
from difnas_jax.scoring.proxies.measurement import Program, proxy_columns

COMMAND = "python -m benchmarks.training_free.cost --data=cifar10.npz"
FOLDER = Path(__file__).parent
RESULTS, PAGE = FOLDER / "cost.json", FOLDER / "COST.md"
ARCHITECTURES = 4
TRACED = 2  # architectures that are compiled one by one
SEED = 0
Seconds = dict[str, float]
CHEAP = ("structure", "costs", "nwot", "jacov", "synflow", "linear_regions")
HEADER = """# What training-free scores cost

Seconds for one architecture of NAS-Bench-201, means over four cells that are the same
in all rows. The first call compiles; it serves all architectures, but for `a trace
each`, which compiles for each of them. `ntk` switches between the ops of an edge by the
path; with `masks` all of them run. `image by image` is the loop of the releases of
TE-NAS and TEG-NAS, compiled: a forward and a backward pass for every image. No GPU: not
run.

"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and keep; returns the exit code."""
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> None:
    parser = Parser("python -m benchmarks.training_free.cost", __doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="default: all")
    parser.add_argument("--data", required=True, metavar="FILE")
    flags = parser.parse_args(argv)
    config = load_config("nas_bench_201")
    config.data.update(source="arrays", path=flags.data)
    cells, results = drawn(config), result_files.load(RESULTS)
    known = rows_of(config, cells)
    for name in flags.rows or known:
        require(name in known, "ROW", f"some of {', '.join(known)}", repr(name))
        say(f"cost: {name}")
        results[name] = provenance(COMMAND, SEED) | known[name]()
    results = {name: results[name] for name in known if name in results}
    kept = result_files.write(RESULTS, results)
    with files.atomic_write(PAGE) as file:
        file.write(page(kept))


def rows_of(config: ConfigDict, cells: np.ndarray) -> dict[str, Callable[[], Seconds]]:
    """What measures each row."""

    def measured(name: str) -> Seconds:
        return timed(proxy_columns(config, tuple(PROXIES[name].columns)), cells)

    rows = {name: functools.partial(measured, name) for name in PROXIES}
    return rows | {
        "ntk, masks": lambda: timed(ntk(config), masks(cells)),
        "ntk, a trace each": lambda: traced(ntk(config), cells[:TRACED]),
        "ntk, image by image": lambda: timed(image_by_image(ntk(config)), cells),
    }


def page(results: Results) -> str:
    """The text of the page."""
    whole = results["ntk"]["each"]
    cheap = {key: sum(results[n][key] for n in CHEAP) for key in ("first", "each")}
    lines = markdown.head(("row", "first call [s]", "each [s]", "by the NTK"))
    for name, row in (results | {f"together: {', '.join(CHEAP)}": cheap}).items():
        times = f"{row['first']:.1f}", f"{row['each']:.4f}"
        lines.append(markdown.row([name, *times, f"{row['each'] / whole:.3f}"]))
    return HEADER + "\n".join([*lines, "", *markdown.sources(results)]) + "\n"


def drawn(config: ConfigDict) -> np.ndarray:
    """int32[N, L] connected cells, the same every time."""
    space, rng = build_space(config), np.random.default_rng(SEED)
    cells = rng.integers(space.num_ops, size=(100, space.num_layers), dtype=np.int32)
    return cells[space.is_connected(cells)][:ARCHITECTURES]


def timed(measure: Callable[[np.ndarray], Any], cells: np.ndarray) -> Seconds:
    """Seconds of the first call, on one architecture, and then of each architecture."""
    start = time.perf_counter()
    _finish(measure(cells[:1]))
    first = time.perf_counter() - start
    start = time.perf_counter()
    _finish(measure(cells))
    return {"first": first, "each": (time.perf_counter() - start) / len(cells)}


def _finish(values: Any) -> None:
    """Compute what is a generator."""
    list(values)


def ntk(config: ConfigDict) -> Program:
    """The program of the NTK row."""
    return proxy_columns(config, tuple(kernels.NTK.columns)).programs["ntk"][0]


def masks(cells: np.ndarray) -> np.ndarray:
    """float32[N, L, O]: weight 1 for the op of each edge, 0 for the others."""
    return np.eye(1 + cells.max(), dtype=np.float32)[cells]


def traced(program: Program, cells: np.ndarray) -> Seconds:
    """Seconds of each architecture where every one is compiled for itself."""
    start = time.perf_counter()
    for cell in cells:
        space = program.model.space.cut(cell)
        model = program.model.clone(space=space)
        own = dataclasses.replace(program, model=model)
        _finish(own(cell[None]))
    each = (time.perf_counter() - start) / len(cells)
    return {"first": each, "each": each}


def image_by_image(program: Program) -> Callable[[np.ndarray], list[dict[str, float]]]:
    """The NTK row with a forward and a backward pass for every image."""
    variables, images, labels = program.inputs
    weights, merged = split_weights(variables)

    @jax.jit
    def gradient(weights: Any, images: Any, path: Any, image: Any) -> Any:
        def logit_sum(weights: Any) -> Any:
            logits = program.model.apply(merged(weights), images, path, True)
            return logits[image].sum()

        return jax.grad(logit_sum)(weights)

    def rows(images: Any, path: np.ndarray) -> list[list[tuple[np.ndarray]]]:
        """As `kernels.rows_of_jacobian`: of cells, and of other weights."""
        count = range(len(images))
        gradients = [gradient(weights, images, path, image) for image in count]
        leaves: list[list[tuple[np.ndarray]]] = [[], []]
        for name in weights:
            own = np.stack([np.ravel(each[name]) for each in gradients])
            leaves[not name[1].startswith(kernels.CELLS)].append((own,))
        return leaves

    def measure(cells: np.ndarray) -> list[dict[str, float]]:
        values = []
        for path in cells:
            batches = [rows(batch, path) for batch in (images[0], images[1])]
            inside, others = zip(*batches, strict=True)
            found = {"labels": labels, "cells": inside, "others": others}
            values.append(kernels.conclude(on_host(found)))
        return values

    return measure


if __name__ == "__main__":
    sys.exit(main())
