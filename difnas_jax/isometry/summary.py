"""What theory says of the supernet of a config, beside what is measured in it.

Blocks are measured at a reduced shape and the depth on images of independent Gaussian
pixels, at most `IMAGE_SIZE` wide, so that no data are read and mbv2 takes minutes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from difnas_jax.config import build
from difnas_jax.isometry import composition, mean_field
from difnas_jax.isometry.cases import Initialisation, blocks, reduced
from difnas_jax.isometry.composition import Law, repeated
from difnas_jax.isometry.depth import TRANSFER, Start, depth, listed
from difnas_jax.isometry.passes import make_probe, passes
from difnas_jax.isometry.singular_values import against_law, flatten, measure, moments
from difnas_jax.models.initializers import DEPTHWISE_ROLES, WHOLE_BLOCKS
from difnas_jax.models.orthogonal import BLOCK_ROLES, stacked_haar
from difnas_jax.runtime.compiling import announced
from difnas_jax.training import programs
from difnas_jax.training.recipe import build_supernet, initial_parameters

CHANNELS, SIDE = 16, 6  # of the inputs of a block
SEEDS = range(2)
LAYERS, NETWORKS = 4, 3  # of random networks of equal layers
IMAGE_SIZE, BATCH_SIZE, DRAWS = 32, 32, 2  # of the depth
# The config fields on which a summary depends.
FIELDS = ("seed", "space", "method.kernels", "method.depthwise", "method.activation")
FIELDS += ("method.layer_indicator", "method.block_scale", "method.logit_gammas")
Values = dict[str, Any]


def summary(config: ConfigDict, say: Callable[[str], None]) -> Values:
    """Measure and predict everything.

    Args:
      config: a checked config.
      say: takes a line of progress.

    Returns:
      JSON values: `config`, the fields that matter; `activation`; `layers`, L;
      `roles`, `normalized`, `blocks` and `depth` of the functions below.
    """
    space = build.build_space(config)
    activation = config.method.activation or space.activation
    return {
        "config": build.flat(config, FIELDS),
        "activation": activation,
        "layers": space.num_layers,
        "normalized": mean_field.statistics(activation).growth,
        "blocks": block_rows(config, activation, say),
        **depth_and_roles(config, activation),
    }


def block_rows(
    config: ConfigDict, activation: str, say: Callable[[str], None]
) -> list[Values]:
    """Every distinct (op, stride) of the supernet.

    Returns:
      Rows of `op`, `stride`, the columns of `singular_values.against_law`, and
      `plain_mean` and `plain_spread`, the same measured without batch norm.
    """
    method = config.method
    fixed = Initialisation(method.kernels, method.depthwise)
    searched = fixed._replace(block_scale=method.block_scale)
    space: Any = build.build_wiring(config).sampled  # `ImageSpace`
    pairs, rows = blocks(space), []
    for number, (op, stride) in enumerate(pairs, start=1):
        say(f"block {number}/{len(pairs)}: {op.name}, stride {stride}")
        case = reduced(op, activation, stride, CHANNELS, SIDE)
        rule = searched if op in space.ops else fixed
        plain = [measure(case, rule, seed, batch_norm=False) for seed in SEEDS]
        for row in against_law(case, rule, SEEDS):
            found = np.mean([parts[row["part"]] for parts in plain], 0).tolist()
            names = {"plain_mean": found[0], "plain_spread": found[1]}
            rows.append({"op": op.name, "stride": stride} | row | names)
    return rows


def depth_and_roles(config: ConfigDict, activation: str) -> Values:
    """The supernet with its initial kernels.

    Returns:
      `roles`, see `role_rows`; `depth`, the columns of `depth.depth`, or None for a
      network that is no chain of layers.
    """
    small = copy.deepcopy(config)
    small.space.image_size = min(config.space.image_size, IMAGE_SIZE)
    model, method = build_supernet(small), config.method
    params = initial_parameters(config, model)
    roles = role_rows(params, activation, method.kernels)
    if not {op.kind for op in model.space.ops} <= TRANSFER.keys():
        return {"roles": roles, "depth": None}
    variables = jax.tree.map(jnp.asarray, {"params": params, "batch_stats": {}})
    batches = _noise(small)
    what = programs.described("the probe", model, BATCH_SIZE)
    probe = announced(make_probe(model), "depth", what)
    found = passes(probe, model, variables, batches, config.seed)
    aligned = method.kernels == "looks_linear"
    columns = depth(found, model, Start(activation, aligned, method.block_scale))
    values = {name: listed(column) for name, column in columns.items()}
    return {"roles": roles, "depth": values}


def _noise(config: ConfigDict) -> list[dict[str, Any]]:
    """Batches of Gaussian pixels with random labels."""
    rng, space = np.random.default_rng(config.seed), config.space
    shape = BATCH_SIZE, space.image_size, space.image_size, space.image_channels
    return [
        {
            "image": jnp.asarray(rng.standard_normal(shape), jnp.float32),
            "label": jnp.asarray(rng.integers(space.num_classes, size=BATCH_SIZE)),
        }
        for _ in range(DRAWS)
    ]


def role_rows(params: Any, activation: str, kernels: str) -> list[Values]:
    """Mean-field theory of a layer of each role, if batch norm were off.

    Depthwise layers are left out, which mix no channels, the parts of looks-linear
    pairs, which are not independent, and fully connected layers, which have no batch
    norm and another scale.

    Returns:
      Rows of `role`; `weights`, the variance of its outputs for inputs of second moment
      1, from the kernels themselves; `fixed_points` of the variance map, as intervals;
      `q`, the largest of them up to 1, or 1 where there is none; `chi` there; and the
      normalised variance of `LAYERS` such layers with as many outputs as inputs
      (eq. 8), `spread_law` and, of random networks in numpy, `spread`.
    """
    gaussian, left_out = kernels == "he_fan_out", (*DEPTHWISE_ROLES, "dense")
    left_out += BLOCK_ROLES if kernels in WHOLE_BLOCKS else ()
    squares: dict[str, list[np.ndarray]] = {}
    for leaf, kernel in flatten(params).items():
        if leaf[-1] == "kernel" and leaf[-2] not in (*left_out, "classifier"):
            rows = (kernel**2).sum(tuple(range(kernel.ndim - 1)))
            squares.setdefault(leaf[-2], []).append(rows)
    rows = []
    for role, values in squares.items():
        weights = float(np.concatenate(values).mean())
        fixed = mean_field.fixed_points(activation, weights, 0.0)
        q = max((min(high, 1.0) for low, high in fixed if low <= 1), default=1.0)
        law = layer_law(activation, weights, q, gaussian)
        row = {"role": role, "weights": weights, "fixed_points": fixed, "q": q}
        row |= {"chi": law.mean, "spread_law": repeated(law, LAYERS).spread}
        rows.append(row | {"spread": measured_spread(activation, weights, q, gaussian)})
    return rows


def measured_spread(activation: str, weights: float, q: float, gaussian: bool) -> float:
    """Normalised variance through `LAYERS` layers, mean of some random networks."""
    rng = np.random.default_rng(0)
    found = [
        mean_field.random_jacobian(
            rng,
            mean_field.gaussian if gaussian else stacked_haar(1.0),
            mean_field.FUNCTIONS[activation],
            weights=weights,
            q=q,
            layers=LAYERS,
        )
        for _ in range(NETWORKS)
    ]
    return float(np.mean([moments(jacobian)[1] for jacobian in found]))


def layer_law(activation: str, weights: float, q: float, gaussian: bool) -> Law:
    """A square layer without batch norm: eq. 5, and eq. 8 for one layer."""
    phi = composition.activated(mean_field.statistics(activation, q))
    kernel = Law(weights, float(gaussian))
    return composition.chain(phi, kernel)
