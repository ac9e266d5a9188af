"""How the layer indicator enters the supernet (section 3.3 of the paper).

The paper adds an identity with batch norm to every normal layer and does not say how it
is connected; Figure 2 and Algorithm 1 are not specific. Each row of `LAYER_INDICATORS`
is one reading, or (`plain`) the identity without batch norm of other methods.
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
    """

    sampled: SearchSpace
    parallel: tuple[int, ...]
    searched: SearchSpace


def candidate(space: SearchSpace) -> Wiring:
    """Identity with batch norm is one more op, sampled like the others."""
    return Wiring(space, (), space)


def parallel(space: SearchSpace) -> Wiring:
    """Identity with batch norm runs beside the block; the search may drop the block."""
    sampled = space.without_identity()
    free = np.flatnonzero((space.allowed != sampled.allowed).any(1)).tolist()
    return Wiring(sampled, tuple(free), space)


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
    "candidate": candidate,
    "parallel": parallel,
    "off": off,
    "plain": plain,
}
