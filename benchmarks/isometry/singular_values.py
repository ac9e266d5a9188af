"""Squared singular values of every op of every space under every initialisation.

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

from benchmarks.isometry.cases import INITIALISATIONS, Case, Initialisation, cases
from benchmarks.isometry.laws import PASSING, law
from difnas_jax.models.blocks import BLOCKS
from difnas_jax.models.initializers import DEPTHWISE_ROLES
from difnas_jax.models.modules import ACTIVATIONS, MOMENTUM, Block
from difnas_jax.ops.layout import CHANNELS_LAST

IMAGES = 256
Row = dict[str, Any]
flatten: Callable[..., dict[tuple[str, ...], Any]] = flax.traverse_util.flatten_dict


def spectra(
    channels: int, side: int, seeds: Sequence[int], say: Callable[[str], None]
) -> list[Row]:
    """Measure all ops under all initialisations.

    Args:
      channels: see `cases`.
      side: see `cases`.
      seeds: of kernels and images.
      say: takes a line of progress.

    Returns:
      A row for each op, part and initialisation: `op`, `part` (`branch` without what
      passes beside it, or the whole `op`), `spaces`, `initialisation`; and of `mean`
      and `spread`: the mean over seeds, `<name>_error`, its standard error,
      `<name>_law`, and `<name>_deviation` from the law as a share.
    """
    rows, all_cases = [], cases(channels, side)
    for number, case in enumerate(all_cases):
        say(f"singular values {number + 1}/{len(all_cases)}: {case.label}")
        for name in _initialisations(case):
            rule = INITIALISATIONS[name]
            found = [measure(case, rule, seed) for seed in seeds]
            rows += [_row(case, name, part, found) for part in found[0]]
    return rows


def _initialisations(case: Case) -> list[str]:
    """Those that differ for the kernels that an op has."""
    roles = {leaf[-2] for leaf in flatten(_shapes(case)) if leaf[-1] == "kernel"}
    names = list(INITIALISATIONS)
    return names if roles & {*DEPTHWISE_ROLES} else names[: 1 + bool(roles)]


def _row(case: Case, name: str, part: str, found: Sequence[dict[str, Any]]) -> Row:
    expected = law(case, INITIALISATIONS[name], part)
    row: Row = {"op": case.label, "part": part, "spaces": " ".join(case.spaces)}
    row |= {"initialisation": name}
    for key, index in (("mean", 0), ("spread", 1)):
        values = np.array([moments[part][index] for moments in found])
        target = expected[index]
        row[key] = float(values.mean())
        row[f"{key}_error"] = _standard_error(values)
        row[f"{key}_law"] = target
        row[f"{key}_deviation"] = float(values.mean() / target - 1) if target else None
    return row


def _standard_error(values: np.ndarray) -> float | None:
    if len(values) < 2:
        return None
    return float(values.std(ddof=1) / len(values) ** 0.5)


def measure(case: Case, rule: Initialisation, seed: int) -> dict[str, Any]:
    """Mean of s^2 for each input and its normalised variance.

    Returns:
      (mean, spread) of the `op` and, where something passes beside it untouched, of
      the `branch` alone.
    """
    rng = np.random.default_rng([seed, zlib.crc32(case.label.encode())])
    shape = IMAGES, case.side, case.side, case.inputs
    images = rng.standard_normal(shape).astype(np.float32)
    if case.is_rectified:
        images = np.maximum(images, 0)
    block, variables = _block(case), _variables(case, rule, rng)
    variables = _with_statistics(block, variables, jnp.asarray(images))
    rows = np.asarray(_jacobian(block, variables, images[0]), np.float64)
    parts = {"op": moments(rows)}
    if case.is_normal and case.op.kind in PASSING:
        parts["branch"] = moments(_WITHOUT[case.op.kind](rows, case))
    return parts


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
def _shapes(case: Case) -> Any:
    images = jnp.zeros((1, case.side, case.side, case.inputs))
    key = jax.random.key(0)
    return jax.eval_shape(lambda: _block(case).init(key, images, False))


def _variables(case: Case, rule: Initialisation, rng: np.random.Generator) -> Any:
    rules = rule.rules
    leaves = {
        leaf: jnp.asarray(
            rules[leaf[-2]](rng, value.shape)
            if leaf[-1] == "kernel"
            else np.full(value.shape, leaf[-1] in ("scale", "var")),
            jnp.float32,
        )
        for leaf, value in flatten(_shapes(case)).items()
    }
    return flax.traverse_util.unflatten_dict(leaves)


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


@functools.partial(jax.jit, static_argnums=0)
def _jacobian(block: Block, variables: Any, image: Array) -> Array:
    """float32[outputs, inputs]: the image many times, one output of each."""

    def run(images: Array) -> Any:
        return block.apply(variables, images, False)

    output = jax.eval_shape(run, image[None])
    repeated = jnp.broadcast_to(image, (output.size, *image.shape))
    ones = jnp.eye(output.size).reshape(output.size, *output.shape[1:])
    return jax.vjp(run, repeated)[1](ones)[0].reshape(output.size, -1)
