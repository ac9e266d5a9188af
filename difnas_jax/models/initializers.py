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

from difnas_jax.models.network import Network

Leaf = tuple[str, ...]
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
    return _orthonormal(rng.standard_normal(shape))


def _orthonormal(matrices: np.ndarray) -> np.ndarray:
    """The factors Q of matrices, with the sign that makes Gaussian ones Haar."""
    q, r = np.linalg.qr(matrices)
    return q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]


def looks_linear(
    expand: np.ndarray, depthwise: np.ndarray, project: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Aligned pairs in an inverted residual: exactly linear, where batch norm is off.

    With columns A of norm 1, orthogonal to each other, and R with orthonormal rows or
    columns: expand = [A; -A], the centre tap 1, project = [R A^T, -R A^T]. A ReLU lets
    one of each pair through, relu(Ax) - relu(-Ax) = Ax, so that the block is x -> R x,
    of which all singular values are 1. Batch norm shifts what the second ReLU sees and
    breaks it. Ours for this block; the pairs are those of Balduzzi et al. 2017
    ("looks-linear") and Burkholz and Dubatovka 2019. With centre taps all kernel sizes
    start as the same function. A pair takes two hidden channels: a block of an odd
    number of them, and all others without an expansion of at least 2 (stem, head,
    depthwise separable blocks, ShuffleNetV2, cells), keep orthogonal kernels.

    Args:
      expand: [C, tC], orthogonal; A is made from it.
      depthwise: [k, k, 1, tC].
      project: [tC, C'], orthogonal; R is made from it.

    Returns:
      The same shapes.
    """
    channels, width = expand.shape
    if width % 2:
        return expand, depthwise, project
    columns = _orthonormal(expand[:, : width // 2].T)  # A: [tC / 2, C]
    mix = project[:channels]  # R^T: [C, C']
    wide = mix.shape[1] > channels
    mix = _orthonormal(mix.T).T if wide else _orthonormal(mix)
    taps = np.zeros_like(depthwise)
    taps[depthwise.shape[0] // 2, depthwise.shape[1] // 2] = 1
    pair = np.array([1, -1])[:, None, None]
    project = (pair * (columns @ mix)).reshape(project.shape)
    return np.concatenate([columns.T, -columns.T], axis=1), taps, project


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


def he_fan_in(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """N(0, 2 / fan_in): keeps the mean square of activations (He et al. 2015)."""
    return rng.standard_normal(shape) * math.sqrt(2.0 / math.prod(shape[:-1]))


def uniform_fan_in(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), the linear layer of SPOS and BN-NAS.

    It is what PyTorch draws where nothing else is said. Differs from it: the bias
    starts at 0, under every rule.
    """
    bound = 1.0 / math.sqrt(math.prod(shape[:-1]))
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

# Role of a kernel -> rule. `kernel_rules` adds the roles that are not here: depthwise
# ones and `dense`, of all kernels of a fully connected network, with the scale outside.
ORTHOGONAL = {role: stacked_haar(gain) for role, gain in GAINS.items()}
KERNEL_RULES: dict[str, dict[str, Fill]] = {
    "orthogonal": ORTHOGONAL,
    "looks_linear": ORTHOGONAL,
    "he_fan_out": dict.fromkeys([*GAINS, *DEPTHWISE_ROLES], he_fan_out)
    | {"classifier": uniform_fan_in},
    "he_fan_in": dict.fromkeys([*GAINS, *DEPTHWISE_ROLES], he_fan_in),
    "uniform_fan_in": dict.fromkeys([*GAINS, *DEPTHWISE_ROLES], uniform_fan_in),
}
# Families that make the kernels of an inverted residual together, of those above.
BLOCK_ROLES = ("expand", "depthwise", "project")
WHOLE_BLOCKS: dict[str, Callable[..., tuple[np.ndarray, ...]]] = {
    "looks_linear": looks_linear
}


def kernel_rules(kernels: str, depthwise: Fill) -> dict[str, Fill]:
    """The rule of every role.

    Args:
      kernels: key of `KERNEL_RULES`.
      depthwise: the rule of depthwise kernels where that family has none.
    """
    return {
        "dense": lambda rng, shape: rng.standard_normal(shape),
        "depthwise": depthwise,
        "spatial": lambda rng, shape: depthwise(rng, shape) / RELU_GAIN,
        **KERNEL_RULES[kernels],
    }


def filled(
    shapes: dict[Leaf, Any],
    kernels: str,
    depthwise: Fill,
    generator: Callable[[Leaf], np.random.Generator],
) -> dict[Leaf, np.ndarray]:
    """Initial values of the leaves of these shapes.

    Args:
      shapes: of a network or of one block, by name.
      kernels: key of `KERNEL_RULES`.
      depthwise: see `kernel_rules`.
      generator: the random numbers of a leaf.

    Returns:
      float32 arrays by name.
    """
    rules, leaves = kernel_rules(kernels, depthwise), {}
    for leaf, value in shapes.items():
        *_, role, name = leaf
        if name in CONSTANTS:
            leaves[leaf] = np.full(value.shape, CONSTANTS[name])
        else:
            leaves[leaf] = rules[role](generator(leaf), value.shape)
    if kernels in WHOLE_BLOCKS:
        for block in {leaf[:-2] for leaf in leaves}:
            own = [(*block, role, "kernel") for role in BLOCK_ROLES]
            if set(own) <= leaves.keys():
                new = WHOLE_BLOCKS[kernels](*(leaves[leaf] for leaf in own))
                leaves.update(zip(own, new, strict=True))
    return {leaf: value.astype(np.float32) for leaf, value in leaves.items()}


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
      {"params", "batch_stats"}: nested dictionaries of float32 numpy arrays; the
      second is empty for a network without batch norms.
    """

    def generator(leaf: Leaf) -> np.random.Generator:
        stream = zlib.crc32("/".join(leaf[1:]).encode())
        return np.random.default_rng([seed, stream])

    shapes: dict[Leaf, Any] = flax.traverse_util.flatten_dict(variable_shapes(model))
    leaves = filled(shapes, kernels, DEPTHWISE_RULES[depthwise], generator)
    values: dict[str, Any] = flax.traverse_util.unflatten_dict(leaves)
    return {"batch_stats": {}, **values}


def variable_shapes(model: Network) -> dict[str, Any]:
    """Shapes of all variables, without computing one."""
    space, shaped = model.space, jax.ShapeDtypeStruct
    shape = (1, space.image_size, space.image_size, space.image_channels)
    images, path = shaped(shape, jnp.float32), shaped((space.num_layers,), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(lambda *inputs: model.init(*inputs, False), key, images, path)
