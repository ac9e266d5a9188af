"""Which units are active, for the scores that read it off the activations.

The code of a unit says for every image of the batch whether its output is positive. A
caller who makes a collection of `SUMMARIES` mutable gets a summary of all codes there;
for everybody else nothing is computed. The shape of a summary does not depend on how
many units there are, so that all branches of a switch can return one, and summaries of
several activations add up.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.models.records import keep
from difnas_jax.ops.layout import Layout

MOST_IMAGES = 16  # of `count_columns`


def similarity(codes: Array) -> Array:
    """float32[B, B]: how many units treat two images alike.

    Args:
      codes: bool[units, B].
    """
    active = codes.astype(jnp.float32)
    count, both = active.sum(0), active.T @ active
    # Where both are active, and where neither is: exact, as all are small integers.
    return 2 * both + len(codes) - count[:, None] - count


def count_columns(codes: Array) -> Array:
    """float32[2^B]: how many units have each of the possible codes.

    Args:
      codes: bool[units, B] of at most `MOST_IMAGES` images.
    """
    bits = 2 ** jnp.arange(codes.shape[1])
    return jnp.zeros(2 ** codes.shape[1]).at[(codes * bits).sum(1)].add(1)


# Collection -> codes bool[units, B] -> summary.
SUMMARIES: dict[str, Callable[[Array], Array]] = {
    "code_similarity": similarity,
    "code_columns": count_columns,
}


def record(module: nn.Module, outputs: Array, layout: Layout) -> None:
    """Add the codes of an activation to the summaries that are asked for.

    Args:
      module: that has the activation.
      outputs: of it, a feature map, or [B, C].
      layout: of a feature map.
    """
    if module.is_initializing():
        return
    for name in filter(module.is_mutable_collection, SUMMARIES):
        batch = layout.dims.index("B") if outputs.ndim == 4 else 0
        codes = jnp.moveaxis(outputs > 0, batch, -1).reshape(-1, outputs.shape[batch])
        keep(module, name, ("codes",), SUMMARIES[name](codes))


def total(collection: object) -> Array:
    """The sum of all summaries of a collection of one kind."""
    return sum(jax.tree.leaves(collection), jnp.zeros(()))
