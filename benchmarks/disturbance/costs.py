"""What a projected update costs at the widths of MobileNetV2, beside a plain one.

    python -m benchmarks.disturbance.costs [CASE ...]

All three kinds of update run in one process, in turns, on synthetic images of 224
pixels, so that drift of the machine affects all alike. The projection is on from the
first update. Rewrites `costs.json`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks import result_files
from benchmarks.disturbance.rows import PLAIN, UPDATES
from benchmarks.provenance import provenance
from difnas_jax.config.files import load_config
from difnas_jax.errors import require
from difnas_jax.runtime import compilation
from difnas_jax.runtime.mesh import data_mesh, replicate
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.training.projection import MEMORY
from difnas_jax.training.recipe import (
    Recipe,
    build_sampler,
    build_supernet,
    initial_variables,
)
from difnas_jax.training.train import begin

RESULTS = Path(__file__).with_name("costs.json")
COMMAND = "python -m benchmarks.disturbance.costs"
WARM_UP, ROUNDS = 2, 7
TOTAL = 1000  # updates of the training of which these are the first


class Case(NamedTuple):
    """What is timed.

    Attributes:
      title: what it is.
      method: key of `baselines`.
      batch_size: images of an update.
    """

    title: str
    method: str
    batch_size: int


CASES = {
    "one": Case("one path", "spos", 32),
    "one_small": Case("one path", "spos", 8),
    "six": Case("six strictly fair paths", "fairnas", 32),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; returns the exit code."""
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> None:
    parser = Parser(prog=COMMAND, allow_abbrev=False)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    names = parser.parse_args(argv).cases or list(CASES)
    for name in names:
        require(name in CASES, "CASE", f"some of {', '.join(CASES)}", repr(name))
    compilation.keep_compiled_programs("auto")
    for name in names:
        say(f"=== {name}")
        source = provenance(f"{COMMAND} {name}", 0)
        results = result_files.load(RESULTS)
        results[name] = {**source, **measured(CASES[name])}
        result_files.write(
            RESULTS, {key: results[key] for key in CASES if key in results}
        )


def measured(case: Case) -> dict[str, Any]:
    """`seconds` of each round and `bytes` of the projection, by kind of update."""
    updates, sizes = {}, {}
    for kind in UPDATES:
        updates[kind], sizes[kind] = timed_update(config_of(case, kind))
        for step in range(WARM_UP):
            updates[kind](step)
        say(f"{kind} runs")
    seconds: dict[str, list[float]] = {kind: [] for kind in UPDATES}
    for turn in range(ROUNDS):
        first = turn % len(UPDATES)
        for kind in [*UPDATES[first:], *UPDATES[:first]]:
            seconds[kind].append(updates[kind](WARM_UP + turn))
    return {"seconds": seconds, "bytes": sizes}


def config_of(case: Case, kind: str) -> ConfigDict:
    """The supernet `mbv2`, six ops a layer, of which all weights train."""
    config = load_config(f"baselines/{case.method}:mbv2")
    config.method.layer_indicator = "off"
    config.method["update"] = kind
    config.supernet.batch_size = case.batch_size
    return config


def timed_update(config: ConfigDict) -> tuple[Callable[[int], float], int]:
    """Step -> seconds of that update; and the bytes that the projection stores."""
    model, recipe = build_supernet(config), Recipe.of_supernet(config)
    mesh, space = data_mesh(), model.space
    variables, sampler = initial_variables(config, model), build_sampler(config)
    state, train_step, paths = begin(model, variables, sampler, recipe, mesh, TOTAL)
    stored = jax.tree.leaves(state.memory.get(MEMORY, {}))
    rng = np.random.default_rng(config.seed)
    shape = (space.image_size, space.image_size, space.image_channels)
    images = rng.standard_normal((config.supernet.batch_size, *shape), np.float32)
    labels = rng.integers(space.num_classes, size=len(images)).astype(np.int32)
    batch = replicate({"image": images, "label": labels}, mesh)

    def update(step: int) -> float:
        nonlocal state
        chosen = jax.block_until_ready(paths(step, state.memory))
        start = time.perf_counter()
        state, _ = train_step(state, batch, chosen)
        jax.block_until_ready(state)
        return time.perf_counter() - start

    return update, sum(leaf.nbytes for leaf in stored)


def ratios(result: dict[str, Any], kind: str) -> list[float]:
    """Seconds of a kind of update over those of plain ones, round by round."""
    pairs = zip(result["seconds"][kind], result["seconds"][PLAIN], strict=True)
    return [own / plain for own, plain in pairs]


if __name__ == "__main__":
    compilation.suggest_kept_memory()
    sys.exit(main())
