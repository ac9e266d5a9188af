"""Batch norms folded into the convolutions before them, for evaluation."""

from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from difnas_jax.ops.normalization import EPSILON

Leaf = tuple[str, ...]


def norm_of(kernel: Leaf) -> Leaf:
    """Where the batch norm behind a convolution has its leaves: `bn_` and its name."""
    *modules, role, _ = kernel
    return *modules, f"bn_{role}"


def folded(variables: dict[str, Any]) -> dict[str, Any]:
    """Variables of the same network whose batch norms only add their bias.

    y = s (Wx - m) / sqrt(v + e) + b is W'x + b' with W' = W s / sqrt(v + e), by output
    channel, and b' = b - m s / sqrt(v + e). The batch norm keeps b', with scale 1, mean
    0 and the variance 1 - e. One without a convolution before it stays as it is: the
    last of a network of cells.

    Args:
      variables: {"params", "batch_stats"} of a found network.

    Returns:
      The same shapes.
    """
    params: dict[Leaf, Any] = flatten_dict(variables["params"])
    statistics: dict[Leaf, Any] = flatten_dict(variables["batch_stats"])
    for kernel in [leaf for leaf in params if leaf[-1] == "kernel"]:
        norm = norm_of(kernel)
        if (*norm, "scale") not in params:
            continue
        scale, bias = (params[*norm, name] for name in ("scale", "bias"))
        mean, var = (np.float64(statistics[*norm, name]) for name in ("mean", "var"))
        gain = scale / np.sqrt(var + EPSILON)
        params[kernel] = np.float32(params[kernel] * gain)  # [..., C_out]
        params[*norm, "scale"] = np.ones_like(scale)
        params[*norm, "bias"] = np.float32(bias - mean * gain)
        statistics[*norm, "mean"] = np.zeros_like(scale)
        statistics[*norm, "var"] = np.full_like(scale, 1 - EPSILON)
    return {"params": unflatten_dict(params), "batch_stats": unflatten_dict(statistics)}
