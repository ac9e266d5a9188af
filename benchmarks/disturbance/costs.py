"""What a projected update costs at the widths of MobileNetV2, beside a plain one.

    python -m benchmarks.disturbance.costs [CASE ...]

All three kinds of update run in one process, in turns, on synthetic images, so that
drift of the machine affects all alike. At 224 pixels the supernet has the first layer
of each of the six stages of `mbv2` with its six ops: all 21 layers compile for minutes.
At 16 pixels it is that of NAS-Bench-Macro. The projection is on from the first update.
Rewrites `costs.json`; `python -m benchmarks.disturbance --pages` shows it.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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
from difnas_jax.models.initializers import variable_shapes
from difnas_jax.models.network import Network
from difnas_jax.models.networks import network
from difnas_jax.runtime import compilation
from difnas_jax.runtime.mesh import data_mesh, replicate
from difnas_jax.runtime.metrics import say
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.image import Images
from difnas_jax.spaces.mobilenet import mbv2, nas_bench_macro
from difnas_jax.training.paths import SAMPLERS
from difnas_jax.training.projection import MEMORY
from difnas_jax.training.recipe import Recipe, initial_variables
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
      space: of the supernet that is timed.
      whole: the space whose memory is stated beside it.
    """

    title: str
    method: str
    batch_size: int
    space: Callable[[], ChainSpace]
    whole: Callable[[], ChainSpace]


def mobile_net() -> ChainSpace:
    """`mbv2` at 224 pixels, without identity."""
    images: Images = {"image_size": 224, "image_channels": 3, "num_classes": 1000}
    return mbv2(**images).without_identity()


def first_layers() -> ChainSpace:
    """Its first layer of each stage, which changes the channels."""
    space = mobile_net()
    layers = tuple(x for x in space.layers if x.in_channels != x.out_channels)
    return dataclasses.replace(space, layers=layers)


def macro() -> ChainSpace:
    """NAS-Bench-Macro at 16 pixels."""
    return nas_bench_macro(image_size=16, image_channels=3, num_classes=10)


CASES = {
    "one": Case("`mbv2`, 1 path", "spos", 32, first_layers, mobile_net),
    "six": Case("`mbv2`, 6 fair paths", "fairnas", 8, first_layers, mobile_net),
    "macro_one": Case("NAS-Bench-Macro, 1 path", "spos", 32, macro, macro),
    "macro_three": Case("NAS-Bench-Macro, 3 fair paths", "fairnas", 32, macro, macro),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; returns the exit code."""
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> None:
    parser = Parser(prog=COMMAND)
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
    """By kind of update, the `seconds` of each round, and what the projection stores.

    Returns:
      `seconds`; `bytes` of the space that is timed, and `bytes_of_whole`.
    """
    configs = {kind: config_of(case, kind) for kind in UPDATES}
    updates = {}
    for kind, config in configs.items():
        updates[kind] = timed_update(config, case.space())
        for step in range(WARM_UP):
            updates[kind](step)
        say(f"{kind} runs")
    seconds: dict[str, list[float]] = {kind: [] for kind in UPDATES}
    for turn in range(ROUNDS):
        first = turn % len(UPDATES)
        for kind in [*UPDATES[first:], *UPDATES[:first]]:
            seconds[kind].append(updates[kind](WARM_UP + turn))
    return {
        "seconds": seconds,
        "bytes": stored_bytes(case.space(), configs),
        "bytes_of_whole": stored_bytes(case.whole(), configs),
    }


def config_of(case: Case, kind: str) -> ConfigDict:
    """A method of which all weights train."""
    config = load_config(f"baselines/{case.method}:mbv2")
    config.method["update"] = kind
    config.supernet.batch_size = case.batch_size
    return config


def model_of(space: ChainSpace, config: ConfigDict) -> Network:
    """The supernet over a space."""
    fields = config.supernet
    return network(
        space, dropout=0.0, dtype=fields.dtype, rematerialize=fields.rematerialize
    )


def stored_bytes(
    space: ChainSpace, configs: Mapping[str, ConfigDict]
) -> dict[str, int]:
    """What the projections of a supernet store, by the name of the config."""
    params = variable_shapes(model_of(space, next(iter(configs.values()))))["params"]

    def size(config: ConfigDict) -> int:
        recipe, sampler = Recipe.of_supernet(config), SAMPLERS[config.method.sampling]
        memory = jax.eval_shape(
            lambda params: recipe.memory_before(params, TOTAL, sampler(space)), params
        )
        leaves = jax.tree.leaves(memory.get(MEMORY, {}))
        return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)

    return {name: size(config) for name, config in configs.items()}


def timed_update(config: ConfigDict, space: ChainSpace) -> Callable[[int], float]:
    """Step -> seconds of that update."""
    mesh, recipe = data_mesh(), Recipe.of_supernet(config)
    model, settings = model_of(space, config), config.supernet
    variables = initial_variables(config, model)
    sampler = SAMPLERS[config.method.sampling](space)
    state, train_step, paths = begin(model, variables, sampler, recipe, mesh, TOTAL)
    rng = np.random.default_rng(config.seed)
    shape = (space.image_size, space.image_size, space.image_channels)
    images = rng.standard_normal((settings.batch_size, *shape), np.float32)
    labels = rng.integers(space.num_classes, size=len(images)).astype(np.int32)
    batch = replicate({"image": images, "label": labels}, mesh)

    def update(step: int) -> float:
        nonlocal state
        chosen = jax.block_until_ready(paths(step, state.memory))
        start = time.perf_counter()
        state, _ = train_step(state, batch, chosen)
        jax.block_until_ready(state)
        return time.perf_counter() - start

    return update


def ratios(result: dict[str, Any], kind: str) -> list[float]:
    """Seconds of a kind of update over those of plain ones, round by round."""
    pairs = zip(result["seconds"][kind], result["seconds"][PLAIN], strict=True)
    return [own / plain for own, plain in pairs]


if __name__ == "__main__":
    compilation.suggest_kept_memory()
    sys.exit(main())
