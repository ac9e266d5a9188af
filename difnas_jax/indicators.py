"""The BN indicator: what the learned scales say about each candidate."""

from __future__ import annotations

from typing import Any

import numpy as np

from difnas_jax.models.blocks import INDICATOR_BATCH_NORMS
from difnas_jax.models.supernet import layer_name
from difnas_jax.spaces.base import SearchSpace


def bn_indicator(
    params: Any, space: SearchSpace
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Mean of |gamma| over the channels of the last batch norm of every candidate.

    The absolute value follows the BN-NAS release; its paper's summary has a plain mean.

    Args:
      params: parameters of a trained supernet.
      space: the searched space. The identity of a layer scores by its layer indicator.

    Returns:
      float64[L, O], NaN where an op is not allowed or has no batch norm (an identity
      that is the only op of its layer), and the raw scales float32[C] by
      `<layer>/<op name>`.
    """
    table = np.full((space.num_layers, space.num_ops), np.nan)
    gammas = {}
    for number, layer in enumerate(space.layers):
        for index in layer.ops if len(layer.ops) > 1 else ():
            op = space.ops[index]
            batch_norm = INDICATOR_BATCH_NORMS[op.kind]
            gamma = params[layer_name(number)][op.name][batch_norm]["scale"]
            gammas[f"{layer_name(number)}/{op.name}"] = np.asarray(gamma)
            table[number, index] = np.abs(gamma, dtype=np.float64).mean()
    return table, gammas
