"""Multiply-adds and parameters, counted analytically by `COUNTING_RULE`.

Published totals differ in one term only, the classifier. Those of SPOS-style code bases
count (2 * in - 1) * out: pass `linear="multiplies_and_adds"` to reproduce them. Those
of NAS-Bench-201 count its bias: `linear="macs_and_bias"`.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from numbers import Integral

import numpy as np

from difnas_jax.spaces.base import Op, SearchSpace
from difnas_jax.spaces.image import Shape, strided

MACS, PARAMS = "macs", "params"  # names of the costs that are counted
LATENCY = "latency_ms"  # of the one that is measured, see `runtime.latency_table`
# A measured cost is a whole number of steps of 2^-k, k <= 20, so that sums of it are
# exact in any order.
STEPS_PER_UNIT = {LATENCY: 2**20}

COUNTING_RULE = """\
The rule: one MAC is one multiply-add of a convolution or of the classifier
(k * k * C_in / groups * C_out * H_out * W_out, and in * out). Batch norm, activations,
pooling, additions and biases count 0, and so does an identity that keeps the shape.
Parameters are all that a retrained network trains: kernels, batch-norm scale and bias,
classifier bias."""

Cost = tuple[int, int]  # (MACs, parameters)

# The multiply-adds of a classifier with so many inputs and outputs.
LINEAR_RULES: dict[str, Callable[[int, int], int]] = {
    "macs": lambda inputs, outputs: inputs * outputs,
    "macs_and_bias": lambda inputs, outputs: (inputs + 1) * outputs,
    "multiplies_and_adds": lambda inputs, outputs: (2 * inputs - 1) * outputs,
}


def classifier(inputs: int, outputs: int, linear: str, *, bias: bool) -> Cost:
    """(MACs, parameters) of a linear layer, counted by one of `LINEAR_RULES`."""
    return LINEAR_RULES[linear](inputs, outputs), (inputs + bias) * outputs


def conv_bn(kernel: int, inputs: int, outputs: int, size: int, groups: int = 1) -> Cost:
    """(MACs, parameters) of a bias-free convolution with batch norm.

    Args:
      kernel: side of the kernel.
      inputs: channels before.
      outputs: channels after.
      size: side of the output in pixels.
      groups: number of groups; equal to the channels for a depthwise convolution.
    """
    weights = kernel * kernel * inputs // groups * outputs
    return weights * size * size, weights + 2 * outputs


def inverted_residual(op: Op, shape: Shape, size: int) -> Cost:
    """(MACs, parameters) of 1x1 expansion, depthwise k x k, 1x1 projection.

    With expansion 1 there is no expanding convolution. `size` is the side of the input.
    """
    hidden = shape.in_channels * op.expansion
    main = _separable(op.kernel, Shape(hidden, shape.out_channels, shape.stride), size)
    if op.expansion == 1:
        return main
    return total([conv_bn(1, shape.in_channels, hidden, size), main])


def shuffle(op: Op, shape: Shape, size: int) -> Cost:
    """(MACs, parameters) of the ShuffleNetV2 block: 1x1, depthwise k x k, 1x1."""
    branch, hidden, outputs = _shuffle_widths(shape)
    expand = conv_bn(1, branch, hidden, size)
    main = _separable(op.kernel, Shape(hidden, outputs, shape.stride), size)
    return total([expand, main, _shuffle_projection(op, shape, size)])


def xception(op: Op, shape: Shape, size: int) -> Cost:
    """(MACs, parameters) of the ShuffleNetV2 block with three depthwise k x k, 1x1."""
    branch, hidden, outputs = _shuffle_widths(shape)
    out_size = strided(size, shape.stride)
    parts = [
        _separable(op.kernel, Shape(branch, hidden, shape.stride), size),
        _separable(op.kernel, Shape(hidden, hidden, 1), out_size),
        _separable(op.kernel, Shape(hidden, outputs, 1), out_size),
        _shuffle_projection(op, shape, size),
    ]
    return total(parts)


def _shuffle_widths(shape: Shape) -> tuple[int, int, int]:
    """Channels into, inside and out of the main branch."""
    branch = shape.in_channels // 2 if shape.is_normal else shape.in_channels
    return branch, shape.out_channels // 2, shape.out_channels - branch


def _shuffle_projection(op: Op, shape: Shape, size: int) -> Cost:
    if shape.is_normal:
        return 0, 0  # the untouched half
    inputs = shape.in_channels
    return _separable(op.kernel, Shape(inputs, inputs, shape.stride), size)


def _separable(kernel: int, shape: Shape, size: int) -> Cost:
    """Depthwise k x k and 1x1; `size` is the side of the input."""
    size, inputs = strided(size, shape.stride), shape.in_channels
    depthwise = conv_bn(kernel, inputs, inputs, size, groups=inputs)
    return total([depthwise, conv_bn(1, inputs, shape.out_channels, size)])


def relu_conv(op: Op, shape: Shape, size: int) -> Cost:
    """(MACs, parameters) of one k x k convolution with batch norm."""
    out_size = strided(size, shape.stride)
    return conv_bn(op.kernel, shape.in_channels, shape.out_channels, out_size)


def identity(op: Op, shape: Shape, size: int) -> Cost:
    """(0, 0) where the shape is kept, else those of a strided 1x1 convolution."""
    return (0, 0) if shape.is_normal else relu_conv(op, shape, size)


def dense(op: Op, shape: Shape, size: int) -> Cost:
    """(MACs, parameters) of a fully connected layer without bias."""
    weights = shape.in_channels * shape.out_channels
    return weights, weights


def free(op: Op, shape: Shape, size: int) -> Cost:
    """(0, 0), for pooling and zero."""
    return 0, 0


def total(parts: Iterable[Cost]) -> Cost:
    """The sum of some costs."""
    macs, params = zip(*parts, strict=True)
    return sum(macs), sum(params)


# (op, shape of the block, side of its input in pixels) -> cost
BLOCK_COSTS: dict[str, Callable[[Op, Shape, int], Cost]] = {
    "avg_pool": free,
    "dense": dense,
    "identity": identity,
    "inverted_residual": inverted_residual,
    "relu_conv": relu_conv,
    "shuffle": shuffle,
    "xception": xception,
    "zero": free,
}


@dataclasses.dataclass(frozen=True)
class CostTable:
    """What a space costs, op by op; every cost is a sum over the layers.

    Attributes:
      tables: int64[L, O] by name of the cost, such as `macs` and `params`, and
        float64[L, O] of `latency_ms`; 0 where an op is not allowed (see
        `space.allowed`).
      fixed: by name, what every architecture has: stem, fixed blocks, head and
        classifier.
    """

    tables: dict[str, np.ndarray]
    fixed: dict[str, float]

    def of(self, architectures: np.ndarray) -> dict[str, np.ndarray]:
        """The costs of many architectures.

        Args:
          architectures: int[..., L].

        Returns:
          int64[...] by name of the cost; float64[...] of milliseconds.
        """
        chosen = np.arange(np.shape(architectures)[-1]), np.asarray(architectures)
        tables, fixed = self.tables.items(), self.fixed
        return {name: table[chosen].sum(-1) + fixed[name] for name, table in tables}

    def of_one(self, architecture: Sequence[int]) -> dict[str, float]:
        """The costs of one architecture as Python numbers, integers if counted."""
        costs = self.of(np.asarray(architecture))
        return {name: cost.item() for name, cost in costs.items()}


def in_words(cost: float) -> str:
    """A cost for people: all digits of a count, three of a measurement."""
    return f"{cost:,}" if isinstance(cost, Integral) else f"{float(f'{cost:.3g}'):,g}"


def traded(known: Collection[str], bounded: Collection[str]) -> str:
    """The cost that the score is traded against: one of latency and MACs.

    It is the one that has a bound; if both or none have, latency, where it is known.

    Args:
      known: names of costs or of the columns of candidates.
      bounded: those that have a bound.
    """
    names = [name for name in (LATENCY, MACS) if name in known]
    return next((name for name in names if name in bounded), names[0])


def cost_table(space: SearchSpace, *, linear: str = "macs") -> CostTable:
    """Count the MACs and parameters of a space.

    Args:
      space: the search space.
      linear: how the classifier counts, a key of `LINEAR_RULES`.
    """
    counts = np.zeros((2, space.num_layers, space.num_ops), np.int64)
    for index, layer in enumerate(space.layers):
        for op in layer.ops:
            counts[:, index, op] = space.op_cost(index, space.ops[op])
    macs, params = space.fixed_cost(linear)
    tables = {MACS: counts[0], PARAMS: counts[1]}
    return CostTable(tables, {MACS: macs, PARAMS: params})
