"""The gradient of one strictly fair update on the device, against that on the CPU.

The CPU computes in a process of its own, where it is the only device.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu.session import Session
from benchmarks.speed import difnas_update, network
from difnas_jax.training import programs

# Name -> precision of products, other fields of the section.
PRECISIONS: dict[str, tuple[str | None, Mapping[str, Any]]] = {
    "float32, highest": ("highest", {}),
    "float32, default": (None, {}),
    "bfloat16": (None, {"dtype": "bfloat16"}),
}


def measure(session: Session) -> None:
    """Record by precision the distance to the reference, divided by its norm."""
    reference = subprocess.Popen(
        [*sys.orig_argv, "--module=reference"],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    found: dict[str, float] = {}
    with session.beside_others():
        for name, (precision, fields) in PRECISIONS.items():
            leaves = gradient(session, precision, fields)
            if reference.wait():
                raise RuntimeError("the reference on the CPU failed, see above")
            with np.load(reference_file(session), allow_pickle=False) as kept:
                found[name] = _distance(leaves, list(kept.values()))
            session.record(errors=found)


def gradient(
    session: Session, precision: str | None = "highest", fields: Mapping[str, Any] = {}
) -> list[np.ndarray]:
    """The leaves of the gradient of the first update of the part, float32.

    It is read from the momentum: in the parameters it would drown in their rounding.
    """
    program = session.part.program
    space = network.SPACES[program.space]()
    step, state, batch = difnas_update.training(
        space,
        section=program.section,
        trainable=program.trainable,
        batch_size=program.batch_size,
        fields={**program.fields, **fields},
    )
    paths = jnp.asarray(next(network.path_sets(program.paths, space.num_layers)))
    with jax.default_matmul_precision(precision):
        run = programs.compiled(step, state.variables["params"])
        state, _ = run(state, batch, paths)
    leaves = map(np.asarray, jax.tree.leaves(state.optimizer))
    return [leaf for leaf in leaves if leaf.dtype == np.float32]


def reference_file(session: Session) -> Path:
    """Where the process of the CPU puts its gradient."""
    return session.folder / "reference.npz"


def _distance(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Euclidean, over the norm of what is expected."""
    distance = [a - b for a, b in zip(found, expected, strict=True)]
    return _norm(distance) / _norm(expected)


def _norm(leaves: list[np.ndarray]) -> float:
    return float(np.sqrt(sum(np.sum(np.square(leaf, dtype=float)) for leaf in leaves)))
