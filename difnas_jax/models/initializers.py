"""Initial values: shapes first, then one numpy function over the leaves.

Tracing and compiling `init` of a supernet takes minutes; `eval_shape` and numpy take
seconds, and the values depend on nothing but the seed and the name of the leaf.

Kernels are normalised by the row (output unit): norm sqrt(2) for a kernel with a ReLU
or ReLU6 behind it (in cells, before it), 1 for one without. Batch norm cancels the
scale, so only the directions matter in the supernet; with batch norm off the scale
keeps the mean squared singular value of a block at 1.
"""

import math
import zlib
from collections.abc import Callable
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from difnas_jax.models.networks import Network

Fill = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

RELU_GAIN = math.sqrt(2.0)
# Initial value of every leaf that is no kernel.
CONSTANTS = {"scale": 1.0, "var": 1.0, "bias": 0.0, "mean": 0.0}


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
        columns = [_haar(rng, fan_in, width) for width in widths]
        return gain * np.concatenate(columns, axis=1).reshape(shape)

    return fill


def _haar(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Matrices with orthonormal columns, over the last two dimensions."""
    q, r = np.linalg.qr(rng.standard_normal(shape))
    # The sign makes Q Haar distributed.
    return q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]


def depthwise_qr(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Each k x k filter an orthogonal matrix, scaled to norm sqrt(2).

    The paper: orthogonal weights "obtained by triangulating every filter".
    """
    side, channels = shape[0], shape[-1]
    # [C, k, k] -> [k, k, 1, C]
    filters = RELU_GAIN / math.sqrt(side) * _haar(rng, channels, side, side)
    return filters.transpose(1, 2, 0)[:, :, None, :]


def depthwise_shift(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """One tap sqrt(2) at a random position of each window: an exact isometry."""
    taps = rng.integers(shape[0] * shape[1], size=shape[-1])
    return RELU_GAIN * np.eye(shape[0] * shape[1])[:, taps].reshape(shape)


def he_fan_out(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """N(0, 2 / (k k C_out)), the convolutions of SPOS and BN-NAS.

    As in their releases, C_out is not divided by the groups of a depthwise convolution.
    """
    fan_out = shape[-1] * (math.prod(shape[:-2]) if len(shape) == 4 else 1)
    return rng.standard_normal(shape) * math.sqrt(2.0 / fan_out)


def uniform_fan_in(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """U(-1/sqrt(C_in), 1/sqrt(C_in)), the linear layer of SPOS and BN-NAS.

    Differs from their releases: the bias starts at 0, under every rule.
    """
    bound = 1.0 / math.sqrt(shape[0])
    return rng.uniform(-bound, bound, shape)


# Norm of an output unit under the orthogonal rule, by role: the name of the module with
# the kernel. A ReLU comes before the role `conv`.
GAINS = {
    **dict.fromkeys(["stem", "expand", "head", "mix", "output", "conv"], RELU_GAIN),
    **dict.fromkeys(["project", "classifier", "entry", "shortcut"], 1.0),
}
# An activation follows a kernel of the role `depthwise`, and none a `spatial` one.
DEPTHWISE_ROLES = ("depthwise", "spatial")
DEPTHWISE_RULES: dict[str, Fill] = {"qr": depthwise_qr, "shift": depthwise_shift}

# Role of a kernel -> rule. `kernel_rules` adds the depthwise roles that are not here.
KERNEL_RULES: dict[str, dict[str, Fill]] = {
    "orthogonal": {role: stacked_haar(gain) for role, gain in GAINS.items()},
    "he_fan_out": dict.fromkeys([*GAINS, *DEPTHWISE_ROLES], he_fan_out)
    | {"classifier": uniform_fan_in},
}


def kernel_rules(kernels: str, depthwise: Fill) -> dict[str, Fill]:
    """The rule of every role.

    Args:
      kernels: key of `KERNEL_RULES`.
      depthwise: the rule of depthwise kernels where that family has none.
    """
    return {
        "depthwise": depthwise,
        "spatial": lambda rng, shape: depthwise(rng, shape) / RELU_GAIN,
        **KERNEL_RULES[kernels],
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
    rules = kernel_rules(kernels, DEPTHWISE_RULES[depthwise])
    leaves: dict[tuple[str, ...], Any]
    leaves = flax.traverse_util.flatten_dict(variable_shapes(model))
    for path, leaf in leaves.items():
        *_, role, name = path
        if name in CONSTANTS:
            value = np.full(leaf.shape, CONSTANTS[name])
        else:
            stream = zlib.crc32("/".join(path[1:]).encode())
            value = rules[role](np.random.default_rng([seed, stream]), leaf.shape)
        leaves[path] = value.astype(np.float32)
    return flax.traverse_util.unflatten_dict(leaves)


def variable_shapes(model: Network) -> dict[str, Any]:
    """Shapes of all variables, without computing one."""
    space = model.space
    images = jnp.zeros((1, space.image_size, space.image_size, space.image_channels))
    path = jnp.zeros(space.num_layers, jnp.int32)
    key = jax.random.key(0)
    return jax.eval_shape(lambda: model.init(key, images, path, False))
