"""Initial values: shapes first, then one numpy function over the leaves.

Tracing and compiling `init` of a supernet takes minutes; `eval_shape` and numpy take
seconds, and the values depend on nothing but the seed and the name of the leaf.

Kernels are normalised by the row (output unit): norm sqrt(2) for a kernel with a ReLU
or ReLU6 behind it (in cells, before it), 1 for one without. Batch norm cancels the
scale, so only the directions matter in the supernet; with batch norm off the scale
keeps the mean squared singular value of a block at 1.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from difnas_jax.models.supernet import Network

Fill = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

RELU_GAIN = math.sqrt(2.0)


def stacked_haar(gain: float) -> Fill:
    """Semi-orthogonal kernels: Haar matrices stacked and cut to the output units.

    The kernel flattens to [fan_in, C_out]. With C_out <= fan_in its output units are
    orthonormal (times `gain`); with C_out = t * fan_in it is t independent Haar
    matrices, so that W^T W = t gain^2 I and every row has norm `gain`. A plain tall QR
    has uneven rows, which batch norm would turn into a broken frame.
    """

    def fill(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        fan_in, out = math.prod(shape[:-1]), shape[-1]
        widths = [min(fan_in, out - start) for start in range(0, out, fan_in)]
        columns = [_orthonormal_columns(rng, fan_in, width) for width in widths]
        return gain * np.concatenate(columns, axis=1).reshape(shape)

    return fill


def _orthonormal_columns(rng: np.random.Generator, rows: int, columns: int):
    q, r = np.linalg.qr(rng.standard_normal((rows, columns)))
    return q * np.sign(np.diag(r))  # the sign makes Q Haar distributed


def depthwise_qr(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Each k x k filter an orthogonal matrix, scaled to norm sqrt(2) (default).

    The paper: orthogonal weights "obtained by triangulating every filter".
    """
    side, channels = shape[0], shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((channels, side, side)))
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    filters = RELU_GAIN / math.sqrt(side) * q  # [C, k, k] -> [k, k, 1, C]
    return filters.transpose(1, 2, 0)[:, :, None, :]


def depthwise_unit_norm(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Gaussian filters, each scaled to norm sqrt(2)."""
    filters = rng.standard_normal(shape)
    return RELU_GAIN * filters / np.linalg.norm(filters, axis=(0, 1), keepdims=True)


def depthwise_shift(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """One tap sqrt(2) at a random place of each window: an exact isometry."""
    taps = rng.integers(shape[0] * shape[1], size=shape[-1])
    return RELU_GAIN * np.eye(shape[0] * shape[1])[:, taps].reshape(shape)


def depthwise_delta(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The centre tap sqrt(2): isometric, but blind to the kernel size. For tests."""
    filters = np.zeros(shape)
    filters[shape[0] // 2, shape[1] // 2] = RELU_GAIN
    return filters


def he_fan_out(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """N(0, 2 / (k k C_out)), the convolutions of SPOS and BN-NAS.

    As there, C_out is not divided by the groups of a depthwise convolution.
    """
    fan_out = shape[-1] * (math.prod(shape[:-2]) if len(shape) == 4 else 1)
    return rng.standard_normal(shape) * math.sqrt(2.0 / fan_out)


def uniform_fan_in(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """U(-1/sqrt(C_in), 1/sqrt(C_in)), the linear layer of SPOS and BN-NAS.

    Differs from there: the bias starts at 0, under every rule.
    """
    bound = 1.0 / math.sqrt(shape[0])
    return rng.uniform(-bound, bound, shape)


DEPTHWISE_RULES: dict[str, Fill] = {
    "qr": depthwise_qr,
    "unit_norm": depthwise_unit_norm,
    "shift": depthwise_shift,
    "delta": depthwise_delta,
}

# Role of a kernel (the name of its module) -> rule; the two depthwise roles are filled
# in below.
KERNEL_RULES: dict[str, dict[str, Fill]] = {
    "orthogonal": {
        "stem": stacked_haar(RELU_GAIN),
        "expand": stacked_haar(RELU_GAIN),
        "project": stacked_haar(1.0),
        "head": stacked_haar(RELU_GAIN),
        "classifier": stacked_haar(1.0),
        "mix": stacked_haar(RELU_GAIN),
        "output": stacked_haar(RELU_GAIN),
        "conv": stacked_haar(RELU_GAIN),  # a ReLU comes before it
        "entry": stacked_haar(1.0),
        "shortcut": stacked_haar(1.0),
    },
    "he_fan_out": {
        "stem": he_fan_out,
        "expand": he_fan_out,
        "depthwise": he_fan_out,
        "project": he_fan_out,
        "head": he_fan_out,
        "classifier": uniform_fan_in,
        "spatial": he_fan_out,
        "mix": he_fan_out,
        "output": he_fan_out,
        "conv": he_fan_out,
        "entry": he_fan_out,
        "shortcut": he_fan_out,
    },
}


def depthwise_roles(rule: str) -> dict[str, Fill]:
    """The depthwise roles under a key of `DEPTHWISE_RULES`.

    `depthwise` is followed by an activation, `spatial` is not.
    """
    fill = DEPTHWISE_RULES[rule]
    return {
        "depthwise": fill,
        "spatial": lambda rng, shape: fill(rng, shape) / RELU_GAIN,
    }


def initialize(
    model: Network, seed: int, *, kernels: str, depthwise: str
) -> dict[str, Any]:
    """Initial variables of a network.

    Batch norms start at scale 1, bias 0, mean 0 and variance 1; biases at 0.

    Args:
      model: the network.
      seed: every leaf draws from its own stream (seed, name), so a found network gets
        the kernels that its candidates had in the supernet of the same seed.
      kernels: key of `KERNEL_RULES`.
      depthwise: key of `DEPTHWISE_RULES`, for the orthogonal family.

    Returns:
      {"params", "batch_stats"}: nested dictionaries of float32 numpy arrays.
    """
    rules = {**depthwise_roles(depthwise), **KERNEL_RULES[kernels]}
    shapes: dict[tuple[str, ...], Any] = flax.traverse_util.flatten_dict(
        variable_shapes(model)
    )
    leaves = {
        path: _initial_leaf(path, leaf.shape, seed, rules).astype(np.float32)
        for path, leaf in shapes.items()
    }
    return flax.traverse_util.unflatten_dict(leaves)


def variable_shapes(model: Network) -> dict[str, Any]:
    """Shapes of all variables, without computing one."""
    space = model.space
    images = jnp.zeros((1, space.image_size, space.image_size, space.image_channels))
    path = jnp.zeros(space.num_layers, jnp.int32)
    key = jax.random.key(0)
    return jax.eval_shape(lambda: model.init(key, images, path, False))


def _initial_leaf(
    path: tuple[str, ...], shape: tuple[int, ...], seed: int, rules: dict[str, Fill]
) -> np.ndarray:
    *_, role, leaf = path
    if leaf in ("scale", "var"):
        return np.ones(shape)
    if leaf in ("bias", "mean"):
        return np.zeros(shape)
    stream = zlib.crc32("/".join(path[1:]).encode())
    return rules[role](np.random.default_rng([seed, stream]), shape)
