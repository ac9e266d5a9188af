"""Networks whose parts have parameters of different times."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from difnas_jax.models.layers import layer_name
from difnas_jax.models.network import Network
from difnas_jax.training.evaluate import Sums, Variables, sums_of_path

ENTRY, REST = "entry", "rest"


def parts_of(model: Network, params: Mapping[str, Any]) -> dict[str, str]:
    """The part of the network to which each module with parameters belongs, in order.

    Returns:
      Name in `params` -> `entry` (what all paths share before the first searchable
      layer), the name of a searchable layer, or `rest` (head and classifier; over cells
      also the reductions).
    """
    space = model.space
    images = jnp.zeros((1, space.image_size, space.image_size, space.image_channels))
    key = jax.random.key(0)
    entered = jax.eval_shape(lambda: model.init(key, images, True, method="enter"))
    layers = [layer_name(layer) for layer in range(space.num_layers)]
    part_of = dict.fromkeys(params, REST)
    part_of |= dict.fromkeys(entered.get("params", {}).keys() & params.keys(), ENTRY)
    part_of |= {name: name for name in layers if name in params}
    order = [ENTRY, *layers, REST]
    return dict(sorted(part_of.items(), key=lambda item: order.index(item[1])))


def sums_of_exchanges(
    model: Network,
    part_of: Mapping[str, str],
    variables: tuple[Variables, Any],
    batch: dict[str, Array],
    paths: Array,
) -> Sums:
    """Evaluate paths with earlier, later and partly later parameters; a pure function.

    Args:
      model: the supernet.
      part_of: see `parts_of`; P parts.
      variables: the earlier ones, and the later parameters.
      batch: images, labels and their mask.
      paths: int32[K, L].

    Returns:
      `sums_of_logits` [2 K + P]: of the paths with the earlier parameters, with the
      later ones, and of the first path with the earlier ones but for one part.
    """
    earlier, later = variables
    names = list(dict.fromkeys(part_of.values()))
    number = {module: names.index(part) for module, part in part_of.items()}
    count = len(paths), len(names)
    exchanges = jnp.concatenate([jnp.zeros(count), jnp.ones(count), jnp.eye(count[1])])
    first = jnp.broadcast_to(paths[0], (len(names), *paths[0].shape))

    def of_row(row: tuple[Array, Array]) -> Sums:
        exchanged, path = row
        params = {
            module: jax.tree.map(
                functools.partial(jnp.where, exchanged[number[module]] > 0),
                later[module],
                own,
            )
            for module, own in earlier["params"].items()
        }
        return sums_of_path(model, {**earlier, "params": params}, batch, path)

    every = jnp.concatenate([paths, paths, first])  # [2 K + P, L]
    return jax.lax.map(of_row, (exchanges, every))
