"""Measured squared singular values of an op at a reduced shape.

The Jacobian is exact. It is that of one image through the block of the supernet with
its batch norms, whose statistics are those of a batch of independent Gaussian images
and are held fixed.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.isometry.cases import Case, Initialisation
from difnas_jax.isometry.laws import law, passes
from difnas_jax.isometry.mean_field import FUNCTIONS
from difnas_jax.models.blocks import BLOCKS
from difnas_jax.models.initializers import RESIDUAL_SCALE, filled
from difnas_jax.models.modules import ACTIVATIONS, MOMENTUM, Block
from difnas_jax.ops.layout import CHANNELS_LAST
from difnas_jax.ops.normalization import EPSILON

IMAGES = 256
flatten: Callable[..., dict[tuple[str, ...], Any]] = flax.traverse_util.flatten_dict


def against_law(
    case: Case, rule: Initialisation, seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Measure an op and compare it with its law.

    Args:
      case: the op and its shape.
      rule: the initial kernels.
      seeds: of kernels and images.

    Returns:
      A row for each part of `measure`: `part`; and of `mean` and `spread`: the mean
      over seeds, `<name>_error`, its standard error, `<name>_law`, and
      `<name>_deviation` from the law as a share, None where that is 0.
    """
    found = [measure(case, rule, seed) for seed in seeds]
    rows = []
    for part in found[0]:
        expected = law(case, rule, part)
        row: dict[str, Any] = {"part": part}
        for index, key in enumerate(("mean", "spread")):
            values = np.array([parts[part][index] for parts in found])
            mean, target = float(values.mean()), expected[index]
            row[key] = mean
            row[f"{key}_error"] = _standard_error(values)
            row[f"{key}_law"] = target
            row[f"{key}_deviation"] = mean / target - 1 if target else None
        rows.append(row)
    return rows


def _standard_error(values: np.ndarray) -> float | None:
    if len(values) < 2:
        return None
    return float(values.std(ddof=1) / len(values) ** 0.5)


def measure(
    case: Case, rule: Initialisation, seed: int, batch_norm: bool = True
) -> dict[str, Any]:
    """Mean of s^2 for each input and its normalised variance.

    Args:
      case: the op and its shape.
      rule: the initial kernels.
      seed: of kernels and images.
      batch_norm: False replaces the statistics of the batch by 0 and 1.

    Returns:
      (mean, spread) of the `op` and, where something passes beside it untouched, of
      the `branch` alone.
    """
    rows = jacobian(case, rule, seed, batch_norm)
    parts = {"op": moments(rows)}
    if passes(case):
        parts["branch"] = moments(_WITHOUT[case.op.kind](rows, case))
    return parts


def jacobian(
    case: Case, rule: Initialisation, seed: int, batch_norm: bool = True
) -> np.ndarray:
    """The Jacobian of an op at one image, float64[outputs, inputs].

    Args:
      case: the op and its shape.
      rule: the initial kernels.
      seed: of kernels and images.
      batch_norm: see `measure`.
    """
    rng = np.random.default_rng([seed, zlib.crc32(case.label.encode())])
    shape = IMAGES, case.side, case.side, case.inputs
    images = rng.standard_normal(shape).astype(np.float32)
    if case.is_activated:
        images = FUNCTIONS[case.activation](images)
    block, variables = _block(case), _variables(case, rule, rng)
    take = _with_statistics if batch_norm else _without_statistics
    variables = take(block, variables, jnp.asarray(images))
    return np.asarray(_jacobian(block, variables, images[0]), np.float64)


def moments(jacobian: np.ndarray) -> tuple[float, float]:
    """Mean and normalised variance of s^2 over the inputs, float[outputs, inputs]."""
    outputs, inputs = jacobian.shape
    wide = outputs < inputs
    gram = jacobian @ jacobian.T if wide else jacobian.T @ jacobian
    mean = float(np.trace(gram) / inputs)
    if not mean:
        return 0.0, 0.0
    return mean, float((gram**2).sum() / inputs / mean**2 - 1)


def _without_skip(jacobian: np.ndarray, case: Case) -> np.ndarray:
    return jacobian - np.eye(len(jacobian))


def _main_branch(jacobian: np.ndarray, case: Case) -> np.ndarray:
    """The outputs behind the passing half, by the odd inputs."""
    pixels, channels = case.side**2, case.inputs
    whole = jacobian.reshape(pixels, channels, pixels, channels)
    half = whole[:, channels // 2 :, :, 1::2]
    return half.reshape(pixels * channels // 2, -1)


_WITHOUT: dict[str, Callable[[np.ndarray, Case], np.ndarray]] = {
    "dense": _without_skip,
    "inverted_residual": _without_skip,
    "shuffle": _main_branch,
    "xception": _main_branch,
}


def _block(case: Case) -> Block:
    activation = ACTIVATIONS[case.activation]
    return BLOCKS[case.op.kind](
        case.op, case.outputs, case.stride, CHANNELS_LAST, activation
    )


@functools.cache
def shapes(case: Case) -> Any:
    """The shapes of the variables of an op, nested."""
    images = jnp.zeros((1, case.side, case.side, case.inputs))
    key = jax.random.key(0)
    return jax.eval_shape(lambda: _block(case).init(key, images, False))


def _variables(case: Case, rule: Initialisation, rng: np.random.Generator) -> Any:
    leaves = filled(flatten(shapes(case)), rule.kernels, rule.fill, lambda leaf: rng)
    for leaf in leaves:
        if case.is_normal and leaf[-2:] == RESIDUAL_SCALE:
            leaves[leaf] *= np.float32(rule.block_scale)
    arrays = {leaf: jnp.asarray(value) for leaf, value in leaves.items()}
    return flax.traverse_util.unflatten_dict(arrays)


@functools.partial(jax.jit, static_argnums=0)
def _with_statistics(block: Block, variables: Any, images: Array) -> Any:
    """The variables with the statistics of a batch, not the running average."""
    if "batch_stats" not in variables:
        return variables
    old = variables["batch_stats"]
    _, changed = block.apply(variables, images, True, mutable=["batch_stats"])
    moved: Any = changed["batch_stats"]
    batch = jax.tree.map(lambda a, b: a + (b - a) / (1 - MOMENTUM), old, moved)
    return {**variables, "batch_stats": batch}


def _without_statistics(block: Block, variables: Any, images: Array) -> Any:
    """The variables with statistics that make every batch norm the identity."""
    leaves = flatten(variables)
    for leaf, value in leaves.items():
        if leaf[-1] == "var":
            leaves[leaf] = jnp.full_like(value, 1 - EPSILON)
    return flax.traverse_util.unflatten_dict(leaves)


@functools.partial(jax.jit, static_argnums=0)
def _jacobian(block: Block, variables: Any, image: Array) -> Array:
    """float32[outputs, inputs]: the image many times, one output of each."""

    def run(images: Array) -> Any:
        return block.apply(variables, images, False)

    output = jax.eval_shape(run, image[None])
    repeated = jnp.broadcast_to(image, (output.size, *image.shape))
    ones = jnp.eye(output.size).reshape(output.size, *output.shape[1:])
    return jax.vjp(run, repeated)[1](ones)[0].reshape(output.size, -1)
