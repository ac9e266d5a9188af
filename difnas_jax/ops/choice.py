"""A switch between blocks whose backward pass keeps little.

Autodiff of `lax.switch` makes every branch return what any branch must remember, the
weights among it, and fills what does not apply with zeros. Here the taken branch
remembers its own intermediates only: inputs and weights are known outside of the switch
already, intermediates of equal shape share a buffer, and the gradients of all branches
share one row. Equal branches are traced once.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Self

import flax.struct
import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_derivatives import SymbolicZero

from difnas_jax.ops.buffers import buffer_counts, filled, taken_from

# Variables and inputs -> outputs, and what the branch records, which has no gradient.
Branch = Callable[[Any, Array], tuple[Array, Any]]
# Which leaves of the variables of a branch are differentiated.
Moving = tuple[bool, ...]


class Backward(flax.struct.PyTreeNode):
    """The backward pass of one branch, apart from the arrays that it reads.

    `jax.vjp` returns a function that is a tree of arrays. Those that are arguments of
    the branch are known outside of the switch and need not be kept.

    Attributes:
      kept: the intermediates among the arrays.
      sources: for each array of the function, its index in `kept` or, as -1, -2, ...,
        among the arguments of the branch.
      function: structure of the function.
    """

    kept: tuple[Array, ...]
    sources: tuple[int, ...] = flax.struct.field(pytree_node=False)
    function: Any = flax.struct.field(pytree_node=False)

    @classmethod
    def of(cls, function: Any, arguments: Sequence[Array]) -> Self:
        """Take a function from `jax.vjp` apart."""
        leaves, structure = jax.tree.flatten(function)
        # While the branch is traced, an argument that the function reads is the same
        # Python object in both.
        sources = {id(array): -1 - index for index, array in enumerate(arguments)}
        kept: list[Array] = []
        for leaf in leaves:
            if id(leaf) not in sources:
                sources[id(leaf)] = len(kept)
                kept.append(leaf)
        return cls(tuple(kept), tuple(sources[id(leaf)] for leaf in leaves), structure)

    def __call__(self, kept: Sequence[Array], arguments: Sequence[Array], cotangent):
        """Put the function together again, with these arrays, and call it."""
        arrays = [*kept, *reversed(arguments)]  # -1 is the first argument
        leaves = [arrays[source] for source in self.sources]
        return jax.tree.unflatten(self.function, leaves)(cotangent)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def choose(
    branches: tuple[Branch, ...],
    rematerialize: bool,
    index: Array,
    variables: tuple[Any, ...],
    inputs: Array,
) -> tuple[Array, tuple[Any, ...]]:
    """Run one branch.

    Args:
      branches: pure functions, see `Branch`; equal ones compare equal.
      rematerialize: compute the branch again in the backward pass instead of keeping
        its intermediates.
      index: int32[], which branch.
      variables: those of each branch, all collections.
      inputs: the input of whichever branch.

    Returns:
      The outputs, and what every branch records: zeros for those that did not run.
    """
    pairs = zip(branches, variables, strict=True)
    shapes = [jax.eval_shape(run_branch, *pair, inputs)[1] for pair in pairs]

    def run(number: int, variables: tuple[Any, ...], inputs: Array):
        outputs, recorded = run_branch(branches[number], variables[number], inputs)
        return outputs, _among_zeros(shapes, number, recorded)

    return _switch(index, run, variables, inputs)


def _among_zeros(shapes: Sequence[Any], number: int, recorded: Any) -> tuple[Any, ...]:
    """What branch `number` records, and zeros for all others."""
    zeros = [
        jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape)
        for shape in shapes
    ]
    return *zeros[:number], recorded, *zeros[number + 1 :]


def _switch(index: Array, run: Callable[..., Any], variables: Any, *operands: Any):
    """`run(number, variables, *operands)` of the branch whose number is the index."""
    runs = [functools.partial(run, number) for number in range(len(variables))]
    return jax.lax.switch(index, runs, variables, *operands)


# `jit` with the branch as a static argument finds equal branches already traced.
@functools.partial(jax.jit, static_argnums=0)
def run_branch(branch: Branch, variables: Any, inputs: Array) -> tuple[Array, Any]:
    """A branch on its own."""
    return branch(variables, inputs)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _linearize(
    branch: Branch, moving: Moving, variables: Any, inputs: Array
) -> tuple[Array, Any, Backward]:
    """A branch, and cotangent -> (gradients of the moving leaves, of the inputs)."""
    leaves, structure = jax.tree.flatten(variables)

    def run(moved: list[Array], inputs: Array) -> tuple[Array, Any]:
        new = iter(moved)
        pairs = zip(leaves, moving, strict=True)
        merged = [next(new) if moves else leaf for leaf, moves in pairs]
        return branch(jax.tree.unflatten(structure, merged), inputs)

    # Differentiated by the moving leaves only: no product with the shape of a frozen
    # kernel is computed.
    moved = list(itertools.compress(leaves, moving))
    outputs, function, recorded = jax.vjp(run, moved, inputs, has_aux=True)
    return outputs, recorded, Backward.of(function, [*leaves, inputs])


class _Saved(flax.struct.PyTreeNode):
    """From the forward to the backward pass.

    Attributes:
      index, variables, inputs: the arguments.
      buffers: what the taken branch kept; None if that is computed again.
      moving: of each branch.
      backward: of each branch, with shapes instead of arrays; empty if computed again.
    """

    index: Array
    variables: tuple[Any, ...]
    inputs: Array
    buffers: list[Array] | None
    moving: tuple[Moving, ...] = flax.struct.field(pytree_node=False)
    backward: tuple[Backward, ...] = flax.struct.field(pytree_node=False)


def _forward(branches, rematerialize, index, variables, inputs):
    # With symbolic zeros every leaf arrives as a pair of its value and whether anyone
    # differentiates by it.
    moving = tuple(
        tuple(leaf.perturbed for leaf in jax.tree.leaves(own, is_leaf=_is_primal))
        for own in variables
    )
    index, variables, inputs = jax.tree.map(
        lambda leaf: leaf.value, (index, variables, inputs), is_leaf=_is_primal
    )
    if rematerialize:
        outputs = choose(branches, rematerialize, index, variables, inputs)
        return outputs, _Saved(index, variables, inputs, None, moving, ())
    # All branches of a switch return the same shapes, so what each one will keep has to
    # be known before any of them runs.
    shapes = [
        jax.eval_shape(functools.partial(_linearize, branch, moves), own, inputs)[1:]
        for branch, moves, own in zip(branches, moving, variables, strict=True)
    ]
    records, backward_passes = zip(*shapes, strict=True)
    counts = buffer_counts(backward.kept for backward in backward_passes)

    def run(number: int, variables: tuple[Any, ...], inputs: Array):
        outputs, recorded, backward = _linearize(
            branches[number], moving[number], variables[number], inputs
        )
        found = outputs, _among_zeros(records, number, recorded)
        return found, filled(counts, backward.kept)

    found, buffers = _switch(index, run, variables, inputs)
    saved = _Saved(index, variables, inputs, buffers, moving, backward_passes)
    return found, saved


def _backward(branches, rematerialize, saved: _Saved, cotangents):
    cotangent, _ = cotangents  # what is recorded has no gradient
    if isinstance(cotangent, SymbolicZero):
        return None, None, None
    leaves = map(jax.tree.leaves, saved.variables)
    moved = map(itertools.compress, leaves, saved.moving)
    length = max(sum(leaf.size for leaf in own) for own in moved)

    def run(number: int, variables: tuple[Any, ...], inputs, buffers, cotangent):
        own = variables[number]
        if rematerialize:
            moves = saved.moving[number]
            backward = _linearize(branches[number], moves, own, inputs)[2]
            kept = backward.kept
        else:
            backward = saved.backward[number]
            kept = taken_from(backward.kept, buffers)
        arguments = [*jax.tree.leaves(own), inputs]
        gradients, gradient = backward(kept, arguments, cotangent)
        # One row for all branches instead of zeros for every weight of the others.
        row = jnp.concatenate([jnp.zeros(0), *map(jnp.ravel, gradients)])
        return jnp.pad(row, (0, length - len(row))), gradient

    operands = saved.variables, saved.inputs, saved.buffers, cotangent
    row, gradient = _switch(saved.index, run, *operands)
    pairs = enumerate(zip(saved.variables, saved.moving, strict=True))
    gradients = tuple(
        _gradients(own, moves, jnp.where(saved.index == number, row, 0))
        for number, (own, moves) in pairs
    )
    return None, gradients, gradient


choose.defvjp(_forward, _backward, symbolic_zeros=True)


def _is_primal(leaf: Any) -> bool:
    return hasattr(leaf, "perturbed")


def _gradients(variables: Any, moving: Moving, row: Array) -> Any:
    """Cut the row of a branch into a tree like its variables, None where none moves."""
    leaves, structure = jax.tree.flatten(variables)
    parts, start = [], 0
    for leaf, moves in zip(leaves, moving, strict=True):
        stop = start + leaf.size * moves
        parts.append(row[start:stop].reshape(leaf.shape) if moves else None)
        start = stop
    return jax.tree.unflatten(structure, parts)
