"""Ops at a reduced shape, and the initial kernels they get."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from difnas_jax.models.initializers import DEPTHWISE_RULES, kernel_rules
from difnas_jax.models.orthogonal import RELU_GAIN, Fill
from difnas_jax.spaces.base import Op
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.image import ImageSpace

# Blocks whose inputs come out of an activation, and which split their channels.
SHUFFLING = ("shuffle", "xception")
LABELS = {"relu": "ReLU", "relu6": "ReLU6"}


def unit_norm(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Gaussian filters, each scaled to norm sqrt(2)."""
    filters = rng.standard_normal(shape)
    return RELU_GAIN * filters / np.linalg.norm(filters, axis=(0, 1), keepdims=True)


def delta(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The centre tap sqrt(2): isometric, but the kernel size makes no difference."""
    filters = np.zeros(shape)
    filters[shape[0] // 2, shape[1] // 2] = RELU_GAIN
    return filters


# Those of the methods, and two that none has, but laws.
DEPTHWISE: dict[str, Fill] = {
    **DEPTHWISE_RULES,
    "unit_norm": unit_norm,
    "delta": delta,
}


class Initialisation(NamedTuple):
    """How the ops start.

    Attributes:
      kernels: key of `KERNEL_RULES`.
      depthwise: key of `DEPTHWISE`.
      block_scale: see `initialize`.
    """

    kernels: str
    depthwise: str
    block_scale: float = 1.0

    @property
    def fill(self) -> Fill:
        """The depthwise rule of the orthogonal family."""
        return DEPTHWISE[self.depthwise]

    def filters(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Depthwise kernels, [k, k, 1, C]."""
        return kernel_rules(self.kernels, self.fill)["depthwise"](rng, shape)

    @property
    def gaussian(self) -> bool:
        """Whether the kernels are independent Gaussian numbers."""
        return self.kernels == "he_fan_out"

    @property
    def aligned(self) -> bool:
        """Whether the kernels of a block are looks-linear pairs."""
        return self.kernels == "looks_linear"


@dataclasses.dataclass(frozen=True)
class Case:
    """An op at a shape.

    Attributes:
      op: what is computed.
      activation: a key of `ACTIVATIONS`.
      inputs, outputs: channels.
      stride: 1, which keeps the shape, or 2, which doubles the channels.
      side: of the input in pixels.
    """

    op: Op
    activation: str
    inputs: int
    outputs: int
    stride: int
    side: int

    @property
    def is_normal(self) -> bool:
        """Whether the shape is kept."""
        return self.stride == 1 and self.inputs == self.outputs

    @property
    def is_activated(self) -> bool:
        """Whether the inputs come out of an activation."""
        return self.op.kind in SHUFFLING

    @property
    def branch_inputs(self) -> int:
        """Channels into the main branch of a shuffling block."""
        return self.inputs // 2 if self.is_normal else self.inputs

    @property
    def branch_outputs(self) -> int:
        """Channels out of the main branch of a shuffling block."""
        return self.outputs - (self.inputs // 2 if self.is_normal else self.inputs)

    @property
    def after_stride(self) -> Case:
        """The shape behind the stride."""
        side = -(-self.side // self.stride)
        return dataclasses.replace(self, side=side, stride=1)

    @property
    def pixels(self) -> float:
        """Pixels of the input for each of the output."""
        return (self.side / self.after_stride.side) ** 2

    @property
    def label(self) -> str:
        """Short, for people."""
        activation = LABELS.get(self.activation, self.activation)
        return f"{self.op.name}, stride {self.stride}, {activation}"


def reduced(op: Op, activation: str, stride: int, channels: int, side: int) -> Case:
    """An op at a shape that is small enough for its exact Jacobian.

    Args:
      op: what is computed.
      activation: key of `ACTIVATIONS`.
      stride: 1 keeps the channels, 2 doubles them.
      channels: into the op; twice as many where it splits them.
      side: of the input in pixels.
    """
    inputs = channels * (2 if op.kind in SHUFFLING else 1)
    return Case(op, activation, inputs, inputs * stride, stride, side)


def blocks(space: ImageSpace) -> list[tuple[Op, int]]:
    """The distinct (op, stride) of a space; layers of one op that are fixed count not.

    Layers that change the channels without a stride are not told apart from normal
    ones.
    """
    fixed = space.fixed if isinstance(space, ChainSpace) else ()
    found = [(block.op, block.stride) for block in fixed]
    for layer in space.layers:
        ops = layer.ops if len(layer.ops) > 1 else ()
        found += [(space.ops[op], layer.stride) for op in ops]
    return list(dict.fromkeys(found))
