"""A found network as PyTorch has it: its blocks as data, its weights by name.

`torch_network.py` makes the module of both.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from difnas_jax.deployment.folding import norm_of
from difnas_jax.errors import require
from difnas_jax.models.branches import cell_name
from difnas_jax.models.layers import layer_name
from difnas_jax.models.network import Network
from difnas_jax.spaces.base import Op
from difnas_jax.spaces.cell import ZERO, CellSpace
from difnas_jax.spaces.chain import ChainSpace
from difnas_jax.spaces.dense import DenseSpace
from difnas_jax.spaces.image import ImageSpace, Shape

Block = dict[str, Any]
Leaf = tuple[str, ...]


def structure(model: Network, folded: bool) -> dict[str, Any]:
    """The network as `torch_network.Network` reads it, JSON values.

    Args:
      model: of a space with one op in each layer.
      folded: whether convolutions have biases in place of batch norms.

    Raises:
      InputError: a layer has several ops, as in a supernet.
    """
    space = model.space
    single = all(len(layer.ops) == 1 for layer in space.layers)
    fits = single and not model.parallel_identity
    require(fits, "network", "one op in each layer", "a subnet of a supernet")
    activation = model.activation or space.activation
    blocks = list(BLOCKS[type(space)](space))
    for block in [*blocks, *(edge for b in blocks for edge in b.get("edges", ()))]:
        block["activation"] = model.activation or block["activation"] or activation
        block["folded"] = folded
    return {
        "image_channels": space.image_channels,
        "blocks": blocks,
        "dropout": model.dropout,
        "classifier": [blocks[-1]["out_channels"], space.num_classes],
        "bias": space.classifier_bias,
    }


def _block(name: str, op: Op, shape: Shape, **more: Any) -> Block:
    """The description of a block; `op.name` does not matter to it."""
    return {
        "name": name,
        "kind": op.kind,
        "in_channels": shape.in_channels,
        "out_channels": shape.out_channels,
        "kernel": op.kernel,
        "stride": shape.stride,
        "expansion": op.expansion,
        "skip": op.skip and shape.is_normal,
        "activation": op.activation,
        **more,
    }


def _conv(name: str, kernel: int, shape: Shape, active: bool) -> Block:
    return _block(name, Op(name, "conv", kernel), shape, active=active)


def _layers(space: ImageSpace) -> Iterator[Block]:
    for index, layer in enumerate(space.layers):
        yield _block(layer_name(index), space.ops[layer.ops[0]], layer)


def _chain(space: ChainSpace) -> Iterator[Block]:
    """See `models.chain.Supernet`."""
    stem = Shape(space.image_channels, space.stem_channels, space.stem_stride)
    yield _conv("stem", 3, stem, active=True)
    for index, block in enumerate(space.fixed):
        yield _block(f"fixed_{index}", block.op, block)
    yield from _layers(space)
    head = Shape(space.layers[-1].out_channels, space.head_channels, 1)
    yield _conv("head", 1, head, active=True)


def _cells(space: CellSpace) -> Iterator[Block]:
    """See `models.cells.CellNetwork`."""
    width, cells = space.channels[0], 0
    if space.stem:
        yield _conv("entry", 3, Shape(space.image_channels, width, 1), active=False)
    for stage, outputs in enumerate(space.channels):
        if stage:
            op = Op("reduction", "reduction", 3)
            yield _block(f"reduction_{stage}", op, Shape(width, outputs, 2))
        width = outputs
        for _ in range(space.cells):
            yield _cell(cell_name(cells), Shape(width, width, 1), space)
            cells += 1
    yield _block("last", Op("last", "norm"), Shape(width, width, 1))


def _cell(name: str, shape: Shape, space: CellSpace) -> Block:
    """A cell with those of its edges that pass something."""
    chosen = [space.ops[layer.ops[0]] for layer in space.layers]
    edges = [index for index, op in enumerate(chosen) if op.kind != ZERO]
    return _block(
        name,
        Op("cell", "cell"),
        shape,
        nodes=space.num_nodes,
        graph=[list(space.edges[index]) for index in edges],
        edges=[_block(layer_name(index), chosen[index], shape) for index in edges],
    )


def _dense(space: DenseSpace) -> Iterator[Block]:
    """See `models.dense.DenseNetwork`."""
    inputs = space.layers[0].in_channels
    yield _block("images", Op("images", "unit_norm"), Shape(inputs, inputs, 1))
    yield from _layers(space)


BLOCKS: dict[type[ImageSpace], Callable[[Any], Iterator[Block]]] = {
    CellSpace: _cells,
    ChainSpace: _chain,
    DenseSpace: _dense,
}

# Leaf of a convolution or a batch norm -> its name in PyTorch, below the role.
NAMES = {
    "kernel": "conv.weight",
    "scale": "norm.weight",
    "bias": "norm.bias",
    "mean": "norm.running_mean",
    "var": "norm.running_var",
}


def tensors(variables: dict[str, Any], folded: bool) -> dict[str, np.ndarray]:
    """The variables under the names and in the layout of PyTorch.

    Convolutions are [C_out, C_in, k, k], the classifier [classes, C_in].

    Args:
      variables: of a found network, those of `folding.folded` where that is asked for.
      folded: leave out the batch norms that only add a bias, and give it to the
        convolution before them.
    """
    leaves: dict[Leaf, Any] = {}
    for collection in ("params", "batch_stats"):
        leaves |= flatten_dict(variables[collection])
    biases = {}
    if folded:
        for kernel in [leaf for leaf in leaves if leaf[-1] == "kernel"]:
            norm = [
                (*norm_of(kernel), name) for name in ("scale", "bias", "mean", "var")
            ]
            if norm[0] in leaves:
                _, biases[kernel], _, _ = (leaves.pop(leaf) for leaf in norm)
    # The writer of safetensors takes the memory of an array as it is.
    arranged = {
        leaf: np.ascontiguousarray(_arranged(leaf, leaves[leaf])) for leaf in leaves
    }
    named = {torch_name(leaf): array for leaf, array in arranged.items()}
    for kernel, bias in biases.items():
        named[torch_name(kernel).replace(".weight", ".bias")] = bias
    for name in [name for name in named if name.endswith("running_var")]:
        counter = name.replace("running_var", "num_batches_tracked")
        named[counter] = np.zeros((), np.int64)
    return named


def torch_name(leaf: Leaf) -> str:
    """The name of a leaf in PyTorch."""
    first, *rest = leaf
    if first in ("classifier", "dense"):
        return "classifier." + {"kernel": "weight"}.get(leaf[-1], leaf[-1])
    if first.startswith("layer_"):
        _, *below = rest  # without the op
        if below[0].startswith("cell_"):
            below[:1] = ()
            first = f"{rest[1]}.edges.{first}"
        rest = below
    *modules, name = first, *rest
    modules[-1] = modules[-1].removeprefix("bn_")
    return ".".join(["features", *modules, NAMES[name]])


def _arranged(leaf: Leaf, value: np.ndarray) -> np.ndarray:
    """A leaf in the layout of PyTorch; a fully connected layer with its scale."""
    *_, role, name = leaf
    if name != "kernel":
        return value
    if role == "dense":  # in the NTK parametrisation
        value = value * np.float32(len(value) ** -0.5)
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    is_linear = leaf[0] in ("classifier", "dense")
    return value.T if is_linear else value.T[:, :, None, None]
