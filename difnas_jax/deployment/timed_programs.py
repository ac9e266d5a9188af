"""The programs that are timed to learn how long networks of a space take.

All compute what a found network computes that serves: running statistics, no dropout,
weights as arguments of one compiled program.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models import modules
from difnas_jax.models.blocks import BLOCKS
from difnas_jax.models.initializers import DEPTHWISE_RULES, filled, initialize
from difnas_jax.models.modules import Block
from difnas_jax.models.network import DTYPES
from difnas_jax.models.networks import network
from difnas_jax.ops.layout import fastest
from difnas_jax.spaces.base import IDENTITY, Architecture, Op
from difnas_jax.spaces.cell import ZERO, CellSpace
from difnas_jax.spaces.image import ImageSpace, Shape

KERNELS, DEPTHWISE = "orthogonal", "qr"  # no time depends on them
CHAINED = 4  # copies of a block in its program
FIRST = (0,) * 4  # an element of a feature map
Program = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How networks are served.

    Attributes:
      batch: images at once.
      dtype: key of `DTYPES`, of the feature maps.
      seed: of weights and images.
    """

    batch: int
    dtype: str
    seed: int

    def images(self, side: int, channels: int) -> np.ndarray:
        """float32[B, side, side, channels] of noise."""
        rng = np.random.default_rng(self.seed)
        shape = self.batch, side, side, channels
        return rng.standard_normal(shape, np.float32)


class PlacedBlock(NamedTuple):
    """A block and the shape of its input; equal ones are timed once."""

    block: Block
    channels: int
    side: int


def placed_blocks(space: ImageSpace, layer: int, op: Op) -> list[PlacedBlock]:
    """What a network computes if a layer has this op: a block, or one in each cell.

    An identity that keeps the shape and an absent edge are not computed.
    """
    if isinstance(space, CellSpace):
        sizes = zip(space.channels, space.stage_sizes, strict=True)
        shapes = [(Shape(width, width, 1), side) for width, side in sizes]
        shapes *= space.cells
    else:
        shapes = [(space.layers[layer], space.layer_sizes[layer])]
    return [
        PlacedBlock(_block(space, op, shape), shape.in_channels, side)
        for shape, side in shapes
        if op.kind != ZERO and not (op.kind == IDENTITY.kind and shape.is_normal)
    ]


def _block(space: ImageSpace, op: Op, shape: Shape) -> Block:
    """The block of a found network, without the batch norm that only scores it."""
    activation: Any = None if op.activation else modules.ACTIVATIONS[space.activation]
    return BLOCKS[op.kind](
        op=dataclasses.replace(op, indicator=False),
        out_channels=shape.out_channels,
        stride=shape.stride,
        layout=fastest(),
        activation=activation,
        parent=None,  # so that the blocks of equal layers compare equal
    )


def block_program(placed: PlacedBlock, conditions: Conditions) -> Program:
    """Some copies of a block, one after another, each with weights of its own.

    In a chain, as in a network, the call itself hardly counts, XLA fuses what is
    between two blocks, and weights are not in the nearest cache. Where the shape
    changes, each copy takes the same input, of which one number comes from the copy
    before, so that they cannot run side by side.
    """
    block, layout = placed.block, placed.block.layout
    images = conditions.images(placed.side, placed.channels)
    inputs = layout.arrange(jnp.asarray(images, DTYPES[conditions.dtype]))
    rng = np.random.default_rng(conditions.seed)
    shapes: Any = jax.eval_shape(
        lambda maps: block.init(jax.random.key(0), maps, False), inputs
    )
    leaves = filled(
        flax.traverse_util.flatten_dict(shapes),
        KERNELS,
        DEPTHWISE_RULES[DEPTHWISE],
        lambda leaf: rng,
    )
    weights = flax.traverse_util.unflatten_dict(leaves)

    @jax.jit
    def chain(copies: list[Any], maps: Array) -> list[Array]:
        results = []
        for variables in copies:
            outputs: Any = block.apply(variables, maps, False)
            results.append(outputs)
            same = outputs.shape == maps.shape
            maps = outputs if same else maps.at[FIRST].set(outputs[FIRST])
        return results[-1:] if same else results

    copies = [jax.device_put(weights) for _ in range(CHAINED)]
    return functools.partial(chain, copies, inputs)


def network_program(
    space: ImageSpace, architecture: Architecture, conditions: Conditions
) -> Program:
    """A whole network, from normalised images to logits."""
    model = network(
        space.cut(architecture),
        dropout=0.0,
        dtype=conditions.dtype,
        rematerialize=False,
    )
    path = np.array(architecture, np.int32)
    variables = jax.device_put(
        initialize(model, conditions.seed, kernels=KERNELS, depthwise=DEPTHWISE)
    )
    images = jnp.asarray(conditions.images(space.image_size, space.image_channels))
    serve = jax.jit(
        lambda variables, images: model.apply(variables, images, path, False)
    )
    return functools.partial(serve, variables, images)


def empty_program() -> Program:
    """A call that computes next to nothing."""
    return functools.partial(jax.jit(lambda number: number + 1), jnp.zeros(()))
