"""The network of cells written another way: plain functions, float64, no switch.

It reads the variables of `models.cells.CellNetwork` and shares no code with it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.spaces.cell import CellSpace


def convolved(images: Array, kernel: Array, stride: int = 1) -> Array:
    kernel = kernel if kernel.ndim == 4 else kernel[None, None]
    pad = kernel.shape[0] // 2
    return jax.lax.conv_general_dilated(
        images,
        kernel,
        window_strides=(stride, stride),
        padding=((pad, pad), (pad, pad)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def normalised(images: Array, norm: Any) -> Array:
    axes = (0, 1, 2)
    mean, var = images.mean(axes), images.var(axes)
    return norm["scale"] * (images - mean) / jnp.sqrt(var + 1e-5) + norm["bias"]


def pooled(images: Array) -> Array:
    window, strides = (1, 3, 3, 1), (1, 1, 1, 1)
    ones = jnp.ones_like(images)
    sums, counts = (
        jax.lax.reduce_window(x, 0.0, jax.lax.add, window, strides, "SAME")
        for x in (images, ones)
    )
    return sums / counts


class Reference:
    """One architecture of a space of cells on given variables.

    Attributes:
      codes: the codes bool[B, units] of each activation of the last call.
    """

    def __init__(self, space: CellSpace, architecture: Sequence[int]) -> None:
        self.space, self.architecture = space, architecture
        self.codes: list[Array] = []

    def relu(self, images: Array) -> Array:
        self.codes.append((images > 0).reshape(len(images), -1))
        return jnp.maximum(images, 0)

    def relu_conv(self, images: Array, own: Any, norm: Callable, stride=1) -> Array:
        outputs = convolved(self.relu(images), own["conv"]["kernel"], stride)
        return norm(outputs, own["bn_conv"])

    def __call__(self, params: Any, images: Array, norm: Callable = normalised):
        self.codes, space, hidden, cell = [], self.space, images, 0
        if space.stem:
            hidden = convolved(images, params["entry"]["kernel"])
            hidden = norm(hidden, params["bn_entry"])
        for stage in range(len(space.channels)):
            if stage:
                hidden = self.reduction(params, hidden, stage, norm)
            for _ in range(space.cells):
                hidden = self.cell(params, hidden, cell, norm)
                cell += 1
        hidden = self.relu(norm(hidden, params["bn_last"])).mean((1, 2))
        return hidden @ params["classifier"]["kernel"] + params["classifier"]["bias"]

    def reduction(self, params: Any, images: Array, stage: int, norm: Callable):
        own = params[f"reduction_{stage}"]
        outputs = self.relu_conv(images, own["first"], norm, stride=2)
        outputs = self.relu_conv(outputs, own["second"], norm)
        size = images.shape[1] // 2
        means = images.reshape(len(images), size, 2, size, 2, -1).mean((2, 4))
        return outputs + convolved(means, own["shortcut"]["kernel"])

    def cell(self, params: Any, images: Array, cell: int, norm: Callable) -> Array:
        nodes: list[Array] = [images]
        for target in range(1, self.space.num_nodes):
            total = jnp.zeros_like(images)
            for edge, (source, end) in enumerate(self.space.edges):
                if end == target:
                    total += self.edge(params, nodes[source], edge, cell, norm)
            nodes.append(total)
        return nodes[-1]

    def edge(self, params: Any, images: Array, edge: int, cell: int, norm: Callable):
        op = self.space.ops[self.architecture[edge]]
        if op.kind == "zero":
            return jnp.zeros_like(images)
        if op.kind == "identity":
            return images
        if op.kind == "avg_pool":
            return pooled(images)
        own = params[f"layer_{edge:02d}"][op.name][f"cell_{cell:02d}"]
        return self.relu_conv(images, own, norm)


def float64_leaves(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)
