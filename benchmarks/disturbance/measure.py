"""One training, and what is kept of it: plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.disturbance.alignment import alignment
from benchmarks.disturbance.kinds import changes_by_kind
from benchmarks.disturbance.rows import (
    ALIGNED_AT,
    EFFECTS,
    EXCHANGED_AT,
    METHODS,
    SPACING,
    Row,
)
from benchmarks.disturbance.summary import QUANTITIES, THIRDS, moments
from benchmarks.evidence.evaluation import known, regrets
from benchmarks.evidence.judge import parse_flags
from benchmarks.evidence.method_scores import (
    Ranking,
    method_config,
    trained,
)
from difnas_jax.ranking.correlation import kendall_tau_b
from difnas_jax.ranking.tables import read_nas_bench_macro
from difnas_jax.runtime import artifacts, files
from difnas_jax.scoring.scorers import scorer_row
from difnas_jax.scoring.trained_supernet import trained_supernet
from difnas_jax.training.optim import Packing
from difnas_jax.training.projection import MEMORY
from difnas_jax.training.recipe import Recipe

# Networks whose accuracy is measured, and training batches for the statistics of each.
ACCURACIES, BATCHES = 60, 10
# Paths whose disturbance is measured in a training, all those of an update at once, and
# paths between the two evaluations of each.
PATHS, AFTER = 18, 12
BUDGET = 60_000_000  # MACs of the regret
LAST = 0.1  # the share of the training whose mean loss is the final one


def arguments(row: Row, seed: int) -> list[str]:
    """The flags of a training for `benchmarks.evidence.judge`."""
    method = METHODS[row.method]
    updates = row.updates or method.updates
    # The paths of the last updates have no further ones.
    every = max(1, updates // (PATHS // method.paths + 1))
    return [
        f"--method={row.method}",
        *method.flags,
        f"--updates={updates}",
        f"--seeds={seed}",
        *row.flags,
        "--size=16",
        f"--networks={ACCURACIES}",
        f"--config.search.recalibration_batches={BATCHES}",
        "--config.supernet.log_every=10",
        f"--config.supernet.disturbance_after={AFTER}",
        f"--config.supernet.disturbance_every={every}",
    ]


def measured(
    row: Row, seed: int, inputs: Sequence[str], folder: Path
) -> dict[str, Any]:
    """Train, or continue, and measure.

    Args:
      row: what to train.
      seed: of the training.
      inputs: the flags that name data and table.
      folder: of the training.

    Returns:
      `main_effects` and, where the method scores by it, `accuracy`: how these rank the
      networks; the fields of `of_training` and `of_projection`; and where the row asks
      for it `alignment` and `exchanges`, see `changes_by_kind`.
    """
    words = [*inputs, *arguments(row, seed), f"--workdir={folder}"]
    flags, fields = parse_flags(words)
    table = read_nas_bench_macro(flags.table)
    config, found = method_config(flags, fields), {}
    config.seed = seed
    if not scorer_row(config).additive:
        found["accuracy"] = ranked(trained(flags, fields, table))
    flags.networks = 0  # a sum over layers ranks all of them
    effects = trained(flags, [*fields, *EFFECTS], table)
    found["main_effects"] = ranked(effects)
    run = effects.scored[0].folder
    assert run is not None
    found |= of_training(run) | of_projection(config, run)
    if row.by_kind:
        found["alignment"] = alignment(config, run, ALIGNED_AT)
        found["exchanges"] = changes_by_kind(config, run, EXCHANGED_AT, SPACING)
    return found


def ranked(ranking: Ranking) -> dict[str, Any]:
    """How one supernet ranks: `n` networks, `tau_b`, and `regret` under the budget."""
    networks = ranking.table[ranking.table.first_of_network]
    scores = ranking.scores[:, ranking.table.first_of_network]
    within = [one for one in regrets(scores, networks) if one["budget"] == BUDGET]
    return {
        "n": len(networks),
        "tau_b": known(kendall_tau_b(scores[0], networks.accuracies)),
        "regret": within[0]["regret"] if within else None,
    }


def of_training(folder: Path) -> dict[str, Any]:
    """`loss`, the mean of the last updates, `seconds`, and the disturbance."""
    metrics = files.read_json_lines(folder / artifacts.SUPERNET_METRICS, ("loss",))
    last = metrics[-max(1, round(LAST * len(metrics))) :]
    marker = files.read_json(folder / "stages" / "supernet.json", ("seconds",))
    rows = files.read_json_lines(folder / artifacts.DISTURBANCE, ("step",))
    return {
        "loss": float(np.mean([one["loss"] for one in last])),
        "seconds": marker["seconds"],
        **disturbances(rows),
    }


def of_projection(config: ConfigDict, folder: Path) -> dict[str, Any]:
    """`space`: `bytes` of what is stored, and the `mean` and `least` room that is left.

    Nothing under plain updates.
    """
    supernet, recipe = trained_supernet(config, folder), Recipe.of_supernet(config)
    memory, params = supernet.memory, supernet.variables["params"]
    if MEMORY not in memory:
        return {}
    packing = Packing.of(recipe.fates(params))
    projection = recipe.projection(packing, supernet.step)
    room = projection.room(memory, params)
    left = [float(share) for share in room.values()]
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(memory[MEMORY]))
    return {"space": {"bytes": size, "mean": float(np.mean(left)), "least": min(left)}}


def disturbances(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is kept of the rows of `training.disturbance`.

    Returns:
      `disturbance`: by third of the measurements and by quantity the `moments` of their
      means over paths; `parts`: by part of the network the mean disturbance of the
      loss, over all measurements.
    """
    thirds = np.array_split(np.arange(len(rows)), len(THIRDS))
    parts = rows[0]["loss"]["parts"]
    return {
        "disturbance": {
            name: {
                quantity: moments([rows[index][quantity]["mean"] for index in third])
                for quantity in QUANTITIES
            }
            for name, third in zip(THIRDS, thirds, strict=True)
        },
        "parts": {
            name: float(np.mean([row["loss"]["parts"][name] for row in rows]))
            for name in parts
        },
    }
