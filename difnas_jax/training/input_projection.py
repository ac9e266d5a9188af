"""Updates orthogonal to earlier inputs of a kernel, as in OWM; see `projection`.

The memory has the projectors P themselves, float32[n, d, d], by size of the kernels:
1x1, dense k x k by patches, fully connected, and a depthwise kernel channel by channel.
Batch norms and biases are not projected.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.models.initializers import DEPTHWISE_ROLES
from difnas_jax.training.fates import Leaf

Leaves = dict[Leaf, Array]
Stacks = dict[str, Array]  # arrays of one size in one array, by size

# Without it, a GPU multiplies in fewer bits, and P = I were not the identity.
EXACT: Any = {"precision": jax.lax.Precision.HIGHEST}


def op_of(leaf: Leaf) -> str:
    """The op that a leaf is part of; outside of searchable layers, its module."""
    return "/".join(leaf[:2] if leaf[0].startswith("layer_") else leaf[:1])


def normalized(vectors: Array) -> Array:
    """Arrays [n, V, d] of Frobenius norm 1 each; zeros stay zeros."""
    norms = jnp.linalg.norm(vectors, axis=(1, 2), keepdims=True)
    return vectors / jnp.where(norms > 0, norms, 1)


def matrix_shape(leaf: Leaf, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """N, d, m: a kernel as N matrices, each from d inputs to m outputs.

    A depthwise kernel has one for each channel, all others have one: 1x1, dense k x k
    (d = k k C_in) and fully connected.
    """
    *taps, channels, outputs = shape
    if leaf[-2] in DEPTHWISE_ROLES:
        return outputs, shape[0] * shape[1], 1
    inputs = channels
    for side in taps:
        inputs *= side
    return 1, inputs, outputs


def to_matrices(leaf: Leaf, kernel: Array) -> Array:
    """A kernel -> float32[N, d, m]."""
    count, inputs, outputs = matrix_shape(leaf, kernel.shape)
    if leaf[-2] in DEPTHWISE_ROLES:
        return kernel.reshape(inputs, count).T[..., None]
    return kernel.reshape(count, inputs, outputs)


def to_kernel(leaf: Leaf, matrices: Array, shape: tuple[int, ...]) -> Array:
    """The inverse of `to_matrices`."""
    if leaf[-2] in DEPTHWISE_ROLES:
        return matrices[..., 0].T.reshape(shape)
    return matrices.reshape(shape)


def kernels_by_size(leaves: Leaves) -> dict[str, list[Leaf]]:
    """The kernels of each d and m, in order."""
    sizes: dict[str, list[Leaf]] = {}
    for leaf in sorted(leaves):
        if leaf[-1] == "kernel":
            _, inputs, outputs = matrix_shape(leaf, leaves[leaf].shape)
            sizes.setdefault(f"{inputs}x{outputs}", []).append(leaf)
    return sizes


def _split(stack: Array, group: list[Leaf], leaves: Leaves) -> dict[Leaf, Array]:
    """The part of each kernel in a stack [n, ...]."""
    counts = [matrix_shape(leaf, leaves[leaf].shape)[0] for leaf in group]
    return dict(zip(group, jax.lax.split(stack, counts), strict=True))


def init(leaves: Leaves, directions: int) -> Stacks:
    """P = I for every matrix."""
    memory = {}
    for size, group in kernels_by_size(leaves).items():
        shapes = [matrix_shape(leaf, leaves[leaf].shape) for leaf in group]
        count, inputs = sum(shape[0] for shape in shapes), shapes[0][1]
        memory[size] = jnp.broadcast_to(jnp.eye(inputs), (count, inputs, inputs))
    return memory


def project(update: Leaves, memory: Stacks, alpha: Array) -> Leaves:
    """P U for the matrices U of every kernel; P holds the alphas of its steps."""
    new = dict(update)
    for size, group in kernels_by_size(update).items():
        matrices = [to_matrices(leaf, update[leaf]) for leaf in group]
        projected = _products(memory[size], jnp.concatenate(matrices))
        for leaf, part in _split(projected, group, update).items():
            new[leaf] = to_kernel(leaf, part, update[leaf].shape)
    return new


def _products(projectors: Array, matrices: Array) -> Array:
    """P U for [n, d, d] and [n, d, m]; not computed where U is 0, off the paths."""

    def product(projector: Array, matrix: Array) -> Array:
        return jnp.matmul(projector, matrix, **EXACT)

    if matrices.shape[-1] == 1:  # many small ones, of depthwise kernels
        return product(projectors, matrices)
    return jax.lax.map(
        lambda pair: jax.lax.cond(
            (pair[1] != 0).any(), product, lambda projector, zeros: zeros, *pair
        ),
        (projectors, matrices),
    )


def learn(
    memory: Stacks, gradients: Leaves, inputs: Leaves, alpha: Array, forgetting: float
) -> Stacks:
    """One step of Woodbury for the vectors that every kernel has seen."""
    new = {}
    for size, group in kernels_by_size(gradients).items():
        vectors = jnp.concatenate([inputs[leaf] for leaf in group])
        new[size] = woodbury(memory[size], vectors, alpha, forgetting)
    return new


def woodbury(
    projectors: Array, vectors: Array, alpha: Array | float, forgetting: float = 1.0
) -> Array:
    """P - P A' (alpha I + A P A')^-1 A P, symmetric to the last bit.

    Forgetting shrinks I - P to this share first, where there is a vector. So P remains
    between 0 and I, which exponential weights of a recursive P do not grant.

    Args:
      projectors: float32[n, d, d].
      vectors: float32[n, V, d], the rows A, scaled by `normalized`; zeros change
        nothing.
      alpha: see above.
      forgetting: from 0 to 1, which forgets nothing.
    """
    vectors = normalized(vectors)
    if forgetting < 1:
        identity = jnp.eye(projectors.shape[-1], dtype=projectors.dtype)
        kept = identity - forgetting * (identity - projectors)
        seen = (vectors != 0).any((1, 2))[:, None, None]
        projectors = jnp.where(seen, kept, projectors)
    rows = jnp.matmul(vectors, projectors, **EXACT)  # A P: [n, V, d]
    gram = jnp.matmul(rows, vectors.mT, **EXACT)  # A P A': [n, V, V]
    # Vector by vector as Gauss eliminates them, since V is small. Several batched
    # solvers of LAPACK in one program wait for each other on two threads of a CPU.
    for index in range(vectors.shape[1]):
        later = jnp.arange(vectors.shape[1]) > index
        pivots = alpha + gram[:, index, index, None]  # [n, 1]
        taken = rows[:, index] / jnp.sqrt(pivots)  # [n, d]
        projectors -= taken[:, :, None] * taken[:, None]
        shares = jnp.where(later, gram[:, :, index] / pivots, 0)[..., None]  # [n, V, 1]
        rows -= shares * rows[:, index, None]
        gram -= shares * gram[:, index, None]
    return projectors


def room(memory: Stacks, leaves: Leaves) -> dict[str, Array]:
    """trace(P) / d, the mean over the kernels of each op and over channels."""
    shares: dict[str, list[Array]] = {}
    for size, group in kernels_by_size(leaves).items():
        stack = jnp.trace(memory[size], axis1=1, axis2=2) / memory[size].shape[-1]
        for leaf, part in _split(stack, group, leaves).items():
            shares.setdefault(op_of(leaf), []).append(part.mean())
    return {op: jnp.stack(parts).mean() for op, parts in shares.items()}
