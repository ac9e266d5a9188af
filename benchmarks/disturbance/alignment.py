"""How well the gradients of two paths agree on the weights that they share."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
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
from difnas_jax.training.fates import leaves_of
from difnas_jax.training.paths import stream, uniform
from difnas_jax.training.recipe import build_supernet

PATHS = 6  # at each step; every two of them are compared


def alignment(config: ConfigDict, folder: Path, steps: Sequence[int]) -> dict[str, Any]:
    """Cosines between the gradients of two paths, over a training.

    All weights are compared, whether they train or not, so that kinds of weights can be
    compared within one network.

    Args:
      config: of the supernet.
      folder: of its run, which kept the checkpoints of `steps`.
      steps: where it is measured; 0 is before the training.

    Returns:
      `steps`, and for each kind of weights the cosine at each step, the mean over pairs
      of paths and over the modules that they share.
    """
    model, batch = build_supernet(config), batch_of(config)
    sample = uniform(model.space)
    paths = [sample(stream(config.seed, "alignment", k))[0] for k in range(PATHS)]
    gradients = jax.jit(jax.grad(functools.partial(loss_of, model)))
    measured = []
    for step in steps:
        params = params_at(config, model, folder, step)
        found = [gradients(params, batch, path) for path in paths]
        pairs = itertools.starmap(shared_cosines, itertools.combinations(found, 2))
        cosines = list(itertools.chain.from_iterable(pairs))
        measured.append({kind: _mean(cosines, kind) for kind in _kinds()})
    by_kind = {kind: [one[kind] for one in measured] for kind in _kinds()}
    return {"steps": list(steps), **by_kind}


def shared_cosines(first: Any, second: Any) -> Iterator[tuple[str, float]]:
    """The kind and the cosine of every weight in which both gradients are not zero.

    A weight is one leaf: the kernel of one convolution, the scales of one batch norm.
    What a path does not pass has no gradient.

    Args:
      first: gradients, nested like the parameters.
      second: the same of another path.
    """
    theirs = leaves_of(second)
    for leaf, own in leaves_of(first).items():
        one, other = np.ravel(own), np.ravel(theirs[leaf])
        norms = float(np.linalg.norm(one) * np.linalg.norm(other))
        if norms > 0:
            yield kind_of_weights(leaf), float(one @ other) / norms


def _kinds() -> tuple[str, ...]:
    return (*KINDS.values(), CLASSIFIER)


def _mean(cosines: Sequence[tuple[str, float]], kind: str) -> float:
    return float(np.mean([value for name, value in cosines if name == kind]))
