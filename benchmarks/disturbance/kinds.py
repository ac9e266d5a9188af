"""What the further training of one kind of weights alone does to paths."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from benchmarks.disturbance.states import (
    CLASSIFIER,
    KINDS,
    batch_of,
    kind_of_weights,
    loss_of,
    params_at,
)
from difnas_jax.training.fates import leaves_of, tree_of
from difnas_jax.training.paths import stream
from difnas_jax.training.recipe import build_sampler, build_supernet

# Exchanged together: name -> kinds of weights.
EXCHANGED = {
    "all weights": frozenset({*KINDS.values(), CLASSIFIER}),
    "batch norms": frozenset({"scales", "biases"}),
    "kernels": frozenset({"kernels"}),
    "classifier": frozenset({CLASSIFIER}),
}


def changes_by_kind(
    config: ConfigDict, folder: Path, steps: Sequence[int], after: int
) -> dict[str, Any]:
    """The loss of the paths of an update after further updates less that before.

    With the later values of all weights, or of some kinds and the earlier ones of all
    others; on the same training images, with statistics of their own.

    Args:
      config: of the supernet.
      folder: of its run, which kept the checkpoints.
      steps: after which updates the paths are those of the last one.
      after: further updates.

    Returns:
      `steps`, and by name in `EXCHANGED` the change at each step in nats, the mean over
      the paths: positive is disturbed.
    """
    model, batch = build_supernet(config), batch_of(config)
    sampler = build_sampler(config)
    loss = jax.jit(functools.partial(loss_of, model))
    measured = []
    for step in steps:
        paths = sampler(stream(config.seed, "paths", step - 1))
        earlier, later = (
            params_at(config, model, folder, when) for when in (step, step + after)
        )

        every = {"nothing": earlier} | {
            name: exchanged(earlier, later, kinds) for name, kinds in EXCHANGED.items()
        }
        losses = {
            name: float(np.mean([loss(params, batch, path) for path in paths]))
            for name, params in every.items()
        }
        before = losses.pop("nothing")
        measured.append({name: value - before for name, value in losses.items()})
    by_name = {name: [one[name] for one in measured] for name in EXCHANGED}
    return {"steps": list(steps), **by_name}


def exchanged(earlier: Any, later: Any, kinds: frozenset[str]) -> Any:
    """The earlier parameters, but for the later ones of some kinds of weights."""
    new = leaves_of(later)
    leaves = {
        leaf: new[leaf] if kind_of_weights(leaf) in kinds else own
        for leaf, own in leaves_of(earlier).items()
    }
    return tree_of(leaves)
