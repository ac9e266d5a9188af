"""Updates orthogonal to earlier gradients of an op, as in OGL; see `projection`.

The memory has the rows of A, orthogonal to each other, float32[n, R, D], by number of
weights of the ops: principal directions of the gradients of all their weights, batch
norms among them.
"""

import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.training.fates import Leaf
from difnas_jax.training.input_projection import (
    EXACT,
    Leaves,
    Stacks,
    normalized,
    op_of,
)

ROUNDING = 1e-8  # of all that is stored of an op, in a direction


def ops_by_size(leaves: Leaves) -> dict[str, dict[str, list[Leaf]]]:
    """The leaves of every op, by number of weights and name."""
    ops: dict[str, list[Leaf]] = {}
    for leaf in sorted(leaves):
        ops.setdefault(op_of(leaf), []).append(leaf)
    sizes: dict[str, dict[str, list[Leaf]]] = {}
    for op, own in ops.items():
        size = sum(leaves[leaf].size for leaf in own)
        sizes.setdefault(str(size), {})[op] = own
    return sizes


def _vectors(ops: dict[str, list[Leaf]], leaves: Leaves) -> Array:
    """float32[n, 1, D]: the weights of each op, one after another."""
    rows = [
        jnp.concatenate([leaves[leaf].ravel() for leaf in own]) for own in ops.values()
    ]
    return jnp.stack(rows)[:, None]


def init(leaves: Leaves, directions: int) -> Stacks:
    """Nothing is stored yet."""
    return {
        size: jnp.zeros((len(ops), directions, int(size)))
        for size, ops in ops_by_size(leaves).items()
    }


def project(update: Leaves, memory: Stacks, alpha: Array) -> Leaves:
    """P u for the weights u of every op."""
    new = dict(update)
    for size, ops in ops_by_size(update).items():
        stored, vectors = memory[size], _vectors(ops, update)
        shares = jnp.matmul(vectors, stored.mT, **EXACT)  # [n, 1, R]
        shares /= alpha + (stored**2).sum(-1)[:, None]
        projected = vectors - jnp.matmul(shares, stored, **EXACT)
        for row, own in zip(projected[:, 0], ops.values(), strict=True):
            parts = jax.lax.split(row, [update[leaf].size for leaf in own])
            for leaf, part in zip(own, parts, strict=True):
                new[leaf] = part.reshape(update[leaf].shape)
    return new


def learn(
    memory: Stacks, gradients: Leaves, inputs: Leaves, alpha: Array, forgetting: float
) -> Stacks:
    """The principal directions of what is stored and one more gradient of each op."""
    sizes = ops_by_size(gradients)
    vectors = {size: _vectors(ops, gradients) for size, ops in sizes.items()}
    return principal(memory, vectors, forgetting)


def principal(stored: Stacks, vectors: Stacks, forgetting: float) -> Stacks:
    """The R rows that explain most of the stored ones and one more vector.

    Args:
      stored: float32[n, R, D] by D, orthogonal rows.
      vectors: float32[n, 1, D] likewise, scaled by `normalized`; zeros change nothing.
      forgetting: from 0 to 1; the squares of what is stored shrink to this share.

    Returns:
      float32[n, R, D], orthogonal rows.
    """
    vectors = {size: normalized(vector) for size, vector in vectors.items()}
    grams = [gram_matrix(stored[size], vectors[size], forgetting) for size in stored]
    # All at once: several solvers of LAPACK in one program wait for each other on two
    # threads of a CPU. The smallest eigenvalue comes first.
    mixtures = jnp.linalg.eigh(jnp.concatenate(grams))[1].mT[:, 1:]
    parts = jax.lax.split(mixtures, [len(gram) for gram in grams])
    new = {}
    for size, part in zip(stored, parts, strict=True):
        rows, vector = stored[size], vectors[size]
        of_rows = forgetting**0.5 * part[..., :-1]
        mixed = jnp.matmul(of_rows, rows, **EXACT) + part[..., -1:] * vector
        seen = (vector != 0).any((1, 2))[:, None, None]
        new[size] = jnp.where(seen, mixed, rows)
    return new


def gram_matrix(rows: Array, vector: Array, forgetting: float) -> Array:
    """[n, R + 1, R + 1]: inner products of rows [n, R, D] and one more, [n, 1, D].

    The rows, times the root of `forgetting`, are not copied beside the other one, since
    D is large.
    """
    across = forgetting**0.5 * jnp.matmul(rows, vector.mT, **EXACT)  # [n, R, 1]
    length = jnp.matmul(vector, vector.mT, **EXACT)
    among = forgetting * jnp.matmul(rows, rows.mT, **EXACT)
    upper = jnp.concatenate([among, across], 2)
    return jnp.concatenate([upper, jnp.concatenate([across.mT, length], 2)], 1)


def room(memory: Stacks, leaves: Leaves) -> dict[str, Array]:
    """The share of the R directions of each op in which nothing is stored yet.

    What rounding leaves of gradients that depend on each other is nothing.
    """
    left = {}
    for size, ops in ops_by_size(leaves).items():
        squares = (memory[size] ** 2).sum(-1)  # [n, R, D] -> [n, R]
        free = squares <= ROUNDING * squares.sum(-1, keepdims=True)
        left |= dict(zip(ops, free.mean(-1), strict=True))
    return left
