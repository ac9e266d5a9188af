"""What a projector lets through of directions that it has stored, against the law.

    python -m benchmarks.disturbance.leakage

A direction of eigenvalue s^2 of the stored inputs keeps alpha / (alpha + s^2) of an
update. The inputs are those of kernels of a supernet, means of real batches; the
projector is built by the recursion in float32, as in training. Writes `leakage.json`
and the figure; `--figure` draws it again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.figure import Figure

from benchmarks import result_files
from benchmarks.provenance import provenance
from benchmarks.result_files import Results
from difnas_jax import data
from difnas_jax.config.files import load_config
from difnas_jax.data import TrainBatches
from difnas_jax.models.kernel_inputs import COLLECTION
from difnas_jax.report import figures
from difnas_jax.report.figures import BLUE, GREEN, INK, ORANGE
from difnas_jax.runtime import files
from difnas_jax.runtime.shutdown import Parser, exit_code
from difnas_jax.training.fates import leaves_of
from difnas_jax.training.input_projection import normalized, woodbury
from difnas_jax.training.paths import stream
from difnas_jax.training.recipe import (
    build_sampler,
    build_supernet,
    initial_variables,
)

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "leakage.json"
FIGURE = FOLDER.parents[1] / "docs" / "disturbance_leakage.png"
COMMAND = "python -m benchmarks.disturbance.leakage"
CONFIG = "baselines/disturbance_immune:digits"
UPDATES = 400
ALPHAS = (1e-5, 1e-2, 1.0, 1e2)
COLOURS = (ORANGE, GREEN, BLUE, INK)
MOST_POINTS = 40  # of a curve that are kept
TINY = 1e-12  # for eigenvalues that are 0 but for rounding
# 1x1 of few and of many channels, and fully connected.
KERNELS = (
    "layer_02/k3e3/expand/kernel",
    "layer_02/k3e6/project/kernel",
    "classifier/kernel",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and draw; returns the exit code."""
    return exit_code(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> None:
    parser = Parser(prog=COMMAND)
    parser.add_argument("--figure", action="store_true", help="draw it again alone")
    if not parser.parse_args(argv).figure:
        source = provenance(COMMAND, 0)
        kernels = {
            name: leakage(vectors) for name, vectors in recorded_inputs().items()
        }
        result_files.write(RESULTS, {"leakage": {**source, "kernels": kernels}})
    with files.atomic_write(FIGURE, "wb") as file:
        file.write(figures.png(leakage_figure(result_files.load(RESULTS))))


def recorded_inputs() -> dict[str, np.ndarray]:
    """float32[T, V, d] by kernel: what a supernet's kernels see in so many updates.

    Updates in which the path passes a kernel by have no part in it.
    """
    config = load_config(CONFIG)
    model, sampler = build_supernet(config), build_sampler(config)
    variables = initial_variables(config, model)
    train = data.load(config).train
    batches = TrainBatches.of(config, train, config.supernet.batch_size)

    @jax.jit
    def recorded(images: Array, path: Array) -> dict[str, Array]:
        _, changed = model.apply(variables, images, path, True, mutable=[COLLECTION])
        named = {
            "/".join(n): leaf for n, leaf in leaves_of(changed[COLLECTION]).items()
        }
        return {name: named[name][0] for name in KERNELS}

    rows: dict[str, list[np.ndarray]] = {name: [] for name in KERNELS}
    for step in range(UPDATES):
        path = sampler(stream(config.seed, "paths", step))[0]
        for name, vectors in recorded(batches[step]["image"], path).items():
            rows[name].append(np.asarray(vectors))
    return {name: np.stack([own for own in rows[name] if own.any()]) for name in rows}


def leakage(vectors: np.ndarray) -> dict[str, Any]:
    """Predicted and measured leakage of every direction that inputs span.

    Args:
      vectors: float32[T, V, d], of T updates.

    Returns:
      `inputs` d, `updates` T, `eigenvalues` of the stored inputs, ascending and thinned
      out, and for each alpha `measured`: the norm of P u for the eigenvectors u, with P
      from the recursion in float32; and `error`, its largest relative difference from
      alpha / (alpha + s^2), over all directions.
    """
    rows = np.asarray(normalized(jnp.asarray(vectors)), np.float64)
    stored = rows.reshape(-1, rows.shape[-1])
    eigenvalues, directions = np.linalg.eigh(stored.T @ stored)
    eigenvalues = np.maximum(eigenvalues, TINY)
    count = min(MOST_POINTS, len(eigenvalues))
    kept = np.unique(np.linspace(0, len(eigenvalues) - 1, count).astype(int))
    curves = []
    for alpha in ALPHAS:
        projector = np.asarray(recursion(vectors, alpha), np.float64)
        measured = np.linalg.norm(projector @ directions, axis=0)
        error = np.abs(measured * (1 + eigenvalues / alpha) - 1).max()
        curves.append(
            {
                "alpha": alpha,
                "error": float(error),
                "measured": measured[kept].tolist(),
            }
        )
    return {
        "inputs": rows.shape[-1],
        "updates": len(rows),
        "eigenvalues": eigenvalues[kept].tolist(),
        "curves": curves,
    }


def recursion(vectors: np.ndarray, alpha: float) -> Array:
    """The projector after all updates, in float32."""
    inputs = vectors.shape[-1]

    def step(projectors: Array, own: Array) -> tuple[Array, None]:
        return woodbury(projectors, own[None], alpha), None

    projectors, _ = jax.lax.scan(step, jnp.eye(inputs)[None], jnp.asarray(vectors))
    return projectors[0]


def leakage_figure(results: Results) -> Figure:
    """The law as lines and the measurement as dots, a panel for each kernel."""
    kernels = results["leakage"]["kernels"]
    figure, axes = figures.new_figure(3.6 * len(kernels), 3.6, columns=len(kernels))
    for panel, (name, found) in zip(axes, kernels.items(), strict=True):
        values = np.array(found["eigenvalues"])
        line = np.geomspace(values.min(), values.max(), 100)
        for curve, colour in zip(found["curves"], COLOURS, strict=True):
            alpha, style = curve["alpha"], dict[str, Any](color=colour)
            panel.plot(line, alpha / (alpha + line), lw=1, **style)
            style["label"] = f"alpha {alpha:g}"
            panel.plot(values, curve["measured"], "o", ms=3, **style)
        panel.set(xscale="log", yscale="log", xlabel="eigenvalue of the stored inputs")
        panel.set_title(f"{name}, d = {found['inputs']}", loc="left", fontsize=9)
    axes[0].set(ylabel="share of an update that is left")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    sys.exit(main())
