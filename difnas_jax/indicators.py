"""The BN indicator: what the learned scales say about each candidate."""

from __future__ import annotations

from typing import Any

import flax.traverse_util
import numpy as np

from difnas_jax.models.blocks import INDICATOR_BATCH_NORMS
from difnas_jax.models.layers import layer_name
from difnas_jax.spaces.base import SearchSpace


def bn_indicator(
    params: Any, space: SearchSpace
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Mean of |gamma| over the channels of the last batch norm of every candidate.

    The absolute value follows the BN-NAS release; its paper's summary has a plain mean.
    An edge of a cell has one batch norm in each cell, and each cell counts alike.

    Args:
      params: parameters of a trained supernet.
      space: the searched space. The identity of a layer scores by its layer indicator.

    Returns:
      float64[L, O], NaN where an op is not allowed or has no batch norm (an identity
      that is the only op of its layer, or the zero op), and the raw scales float32[C]
      by `<layer>/<op name>`, those of all cells one after another.
    """
    table = np.full((space.num_layers, space.num_ops), np.nan)
    gammas = {}
    for number, layer in enumerate(space.layers):
        for index in layer.ops:
            place = layer_name(number), space.ops[index].name
            scales = _scales(params.get(place[0], {}).get(place[1], {}))
            if scales:
                gammas["/".join(place)] = np.concatenate(scales)
                means = [np.abs(scale, dtype=np.float64).mean() for scale in scales]
                table[number, index] = np.mean(means)
    return table, gammas


def _scales(params: Any) -> list[np.ndarray]:
    """float32[C] of each indicator below a candidate."""
    leaves: dict[tuple[str, ...], Any] = flax.traverse_util.flatten_dict(params)
    return [
        np.asarray(leaf)
        for name, leaf in leaves.items()
        if name[-1] == "scale" and name[-2] in INDICATOR_BATCH_NORMS
    ]
