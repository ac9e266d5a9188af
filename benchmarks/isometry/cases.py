"""Every op of every space at a reduced shape, and the initial kernels they get."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from difnas_jax.models.initializers import (
    DEPTHWISE_RULES,
    RELU_GAIN,
    Fill,
    kernel_rules,
)
from difnas_jax.spaces import SPACES, ImageSpace, build
from difnas_jax.spaces.base import Op
from difnas_jax.spaces.chain import ChainSpace

# Blocks whose inputs come out of a ReLU, and which split their channels.
SHUFFLING = ("shuffle", "xception")


def unit_norm(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Gaussian filters, each scaled to norm sqrt(2)."""
    filters = rng.standard_normal(shape)
    return RELU_GAIN * filters / np.linalg.norm(filters, axis=(0, 1), keepdims=True)


def delta(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """The centre tap sqrt(2): isometric, but the kernel size makes no difference."""
    filters = np.zeros(shape)
    filters[shape[0] // 2, shape[1] // 2] = RELU_GAIN
    return filters


# Those of the product, and two that it does not offer.
DEPTHWISE: dict[str, Fill] = {
    **DEPTHWISE_RULES,
    "unit_norm": unit_norm,
    "delta": delta,
}


class Initialisation(NamedTuple):
    """A key of `KERNEL_RULES` and one of `DEPTHWISE`."""

    kernels: str
    depthwise: str

    @property
    def rules(self) -> dict[str, Fill]:
        """The rule of every role."""
        return kernel_rules(self.kernels, DEPTHWISE[self.depthwise])

    @property
    def gaussian(self) -> bool:
        """Whether the kernels are independent Gaussian numbers."""
        return self.kernels == "he_fan_out"


INITIALISATIONS: dict[str, Initialisation] = {
    "he": Initialisation("he_fan_out", "qr"),
    **{
        f"orthogonal, {rule}": Initialisation("orthogonal", rule)
        for rule in ("qr", "unit_norm", "shift", "delta")
    },
}


@dataclasses.dataclass(frozen=True)
class Case:
    """An op at a shape.

    Attributes:
      op: what is computed.
      activation: a key of `ACTIVATIONS`.
      inputs, outputs: channels.
      stride: 1, which keeps the shape, or 2, which doubles the channels.
      side: of the input in pixels.
      spaces: the spaces that have it.
    """

    op: Op
    activation: str
    inputs: int
    outputs: int
    stride: int
    side: int
    spaces: tuple[str, ...] = ()

    @property
    def is_normal(self) -> bool:
        """Whether the shape is kept."""
        return self.stride == 1 and self.inputs == self.outputs

    @property
    def is_rectified(self) -> bool:
        """Whether the inputs come out of a ReLU."""
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
        activation = "ReLU" if self.activation == "relu" else "ReLU6"
        return f"{self.op.name}, stride {self.stride}, {activation}"


def cases(channels: int, side: int) -> list[Case]:
    """Every op of every space, once for each activation and stride.

    Args:
      channels: into the op; twice as many where it splits them. A stride of 2 doubles
        them; layers that change the channels without a stride are not told apart.
      side: of the input in pixels.
    """
    found: dict[tuple[Op, str, int], list[str]] = {}
    for name in sorted(SPACES):
        space = build(name, image_size=32, image_channels=3, num_classes=10)
        for key in dict.fromkeys(_ops(space)):
            found.setdefault(key, []).append(name)
    return [
        _case(op, activation, stride, channels, side, tuple(names))
        for (op, activation, stride), names in sorted(
            found.items(), key=lambda item: (item[0][0].kind, item[0][2], item[0][1])
        )
    ]


def _case(op: Op, activation: str, stride: int, channels: int, side: int, names):
    inputs = channels * (2 if op.kind in SHUFFLING else 1)
    return Case(op, activation, inputs, inputs * stride, stride, side, names)


def _ops(space: ImageSpace) -> Iterator[tuple[Op, str, int]]:
    is_chain = isinstance(space, ChainSpace)
    activation = space.activation if is_chain else "relu"
    for block in space.fixed if is_chain else ():
        yield block.op, activation, block.stride
    for layer in space.layers:
        for op in layer.ops if len(layer.ops) > 1 else ():
            yield space.ops[op], activation, layer.stride
