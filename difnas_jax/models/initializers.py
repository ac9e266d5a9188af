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

from difnas_jax.models.layers import layer_name
from difnas_jax.models.network import Network
from difnas_jax.models.orthogonal import (
    RELU_GAIN,
    Fill,
    Kernels,
    depthwise_qr,
    depthwise_shift,
    looks_linear_block,
    shared_response,
    stacked_haar,
)

Leaf = tuple[str, ...]
# Initial value of every leaf that is no kernel.
CONSTANTS = {"scale": 1.0, "var": 1.0, "bias": 0.0, "mean": 0.0}
# The last scale of a residual block, which `block_scale` multiplies.
RESIDUAL_SCALE = ("bn_project", "scale")


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
    "shared_response": ORTHOGONAL,
    "he_fan_out": dict.fromkeys([*GAINS, *DEPTHWISE_ROLES], he_fan_out)
    | {"classifier": uniform_fan_in},
    "he_fan_in": dict.fromkeys([*GAINS, *DEPTHWISE_ROLES], he_fan_in),
    "uniform_fan_in": dict.fromkeys([*GAINS, *DEPTHWISE_ROLES], uniform_fan_in),
}
# Families that make the kernels of a block together, of those above; the random numbers
# are the same for all candidates of a layer.
WHOLE_BLOCKS: dict[str, Callable[[Kernels, np.random.Generator], Kernels]] = {
    "looks_linear": looks_linear_block,
    "shared_response": shared_response,
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
        blocks: dict[Leaf, Kernels] = {}
        for (*block, role, name), value in leaves.items():
            if name == "kernel":
                blocks.setdefault(tuple(block), {})[role] = value
        for block, drawn in blocks.items():
            made = WHOLE_BLOCKS[kernels](drawn, generator((*block[:-1], "mix")))
            leaves.update({(*block, role, "kernel"): made[role] for role in made})
    return {leaf: value.astype(np.float32) for leaf, value in leaves.items()}


def initialize(
    model: Network, seed: int, *, kernels: str, depthwise: str, block_scale: float = 1.0
) -> dict[str, Any]:
    """Initial variables of a network.

    Batch norms start at scale 1, but for `block_scale`, bias 0, mean 0 and variance 1;
    biases at 0.

    Args:
      model: the network.
      seed: every leaf draws from its own stream (seed, name), so a found network gets
        the kernels that its candidates had in the supernet of the same seed.
      kernels: key of `KERNEL_RULES`.
      depthwise: key of `DEPTHWISE_RULES`, for the orthogonal family.
      block_scale: of the last batch norm of a residual block beside a skip connection;
        at 0 the block starts as that connection alone, an exact isometry.

    Returns:
      {"params", "batch_stats"}: nested dictionaries of float32 numpy arrays; the
      second is empty for a network without batch norms.
    """

    def generator(leaf: Leaf) -> np.random.Generator:
        stream = zlib.crc32("/".join(leaf[1:]).encode())
        return np.random.default_rng([seed, stream])

    shapes: dict[Leaf, Any] = flax.traverse_util.flatten_dict(variable_shapes(model))
    leaves = filled(shapes, kernels, DEPTHWISE_RULES[depthwise], generator)
    beside = {
        layer_name(i) for i, lay in enumerate(model.space.layers) if lay.is_normal
    }
    for leaf in leaves:
        if leaf[1] in beside and leaf[-2:] == RESIDUAL_SCALE:
            leaves[leaf] *= np.float32(block_scale)
    values: dict[str, Any] = flax.traverse_util.unflatten_dict(leaves)
    return {"batch_stats": {}, **values}


def variable_shapes(model: Network) -> dict[str, Any]:
    """Shapes of all variables, without computing one."""
    space, shaped = model.space, jax.ShapeDtypeStruct
    shape = (1, space.image_size, space.image_size, space.image_channels)
    images, path = shaped(shape, jnp.float32), shaped((space.num_layers,), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    return jax.eval_shape(lambda *inputs: model.init(*inputs, False), key, images, path)
