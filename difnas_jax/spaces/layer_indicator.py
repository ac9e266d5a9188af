"""How the layer indicator enters the supernet (section 3.3 of the paper).

The paper adds "a parallel identity connection" with a batch norm behind it to every
layer that does not reduce: `parallel`, the default. `shortcut` and `candidate` are two
other readings, `off` is its row without layer indicator, and `plain` is the identity
without batch norm of other methods.

Where the identity is always on, its scale measures the layer, and not whether the layer
may go: `method.dropped_layer` decides what dropping the layer scores.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from difnas_jax.spaces.base import SearchSpace


@dataclasses.dataclass(frozen=True)
class Wiring:
    """What the supernet samples, what it adds, and what the search may choose.

    Attributes:
      sampled: space of the paths that train.
      parallel: layers with an always-on identity branch `block(x) + BN(x)`.
      searched: space of the architectures that can be found.
      own_skip: whether a block keeps its own skip connection beside that branch.
    """

    sampled: SearchSpace
    parallel: tuple[int, ...]
    searched: SearchSpace
    own_skip: bool = True


def candidate(space: SearchSpace) -> Wiring:
    """Identity with batch norm is one more op, sampled like the others.

    At scale 1 and bias 0 the mean of its scale has no gradient in the last normal layer
    of a stage: its outputs go only into convolutions with a batch norm behind, which
    undo any scale. Under `parallel` and `shortcut` the scale counts beside the block.
    """
    return Wiring(space, (), space)


def parallel(space: SearchSpace) -> Wiring:
    """Identity with batch norm runs beside the block; the search may drop the layer."""
    sampled = space.without_identity()
    free = np.flatnonzero((space.allowed != sampled.allowed).any(1)).tolist()
    return Wiring(sampled, tuple(free), space)


def shortcut(space: SearchSpace) -> Wiring:
    """The same, but the batch norm lies on the skip connection: `f(x) + BN(x)`.

    For blocks with a skip connection, x + f(x), of which `parallel` would make a second
    one. Blocks without one are as under `parallel`.
    """
    return dataclasses.replace(parallel(space), own_skip=False)


def off(space: SearchSpace) -> Wiring:
    """No layer indicator and no identity to choose."""
    space = space.without_identity()
    return Wiring(space, (), space)


def plain(space: SearchSpace) -> Wiring:
    """Identity and pooling are sampled as they are in the found network.

    No layer indicator: a path of the supernet is exactly the found network, as methods
    that score by accuracy need it (SPOS, and BN-NAS, whose identity scores 0). Ours for
    pooling, which gets no batch norm here either.
    """
    ops = tuple(dataclasses.replace(op, indicator=False) for op in space.ops)
    return Wiring(dataclasses.replace(space, ops=ops), (), space)


LAYER_INDICATORS: dict[str, Callable[[SearchSpace], Wiring]] = {
    "parallel": parallel,
    "shortcut": shortcut,
    "candidate": candidate,
    "off": off,
    "plain": plain,
}
