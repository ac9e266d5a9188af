"""Scores from which units are active: NASWOT, linear regions, SWAP."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from difnas_jax.models import codes
from difnas_jax.scoring.proxies.base import (
    Apply,
    Column,
    Observation,
    Proxy,
    Variables,
)


def observe_similarity(
    apply: Apply, variables: Variables, images: Array, labels: Array
) -> Observation:
    """How many units treat two images alike, float32[B, B]."""
    return {"similarity": _recorded("code_similarity", apply, variables, images)}


def _recorded(name: str, apply: Apply, variables: Variables, images: Array) -> Array:
    _, found = apply(variables, images, mutable=[name])
    return codes.total(found[name])


def nwot(observation: Observation) -> dict[str, float]:
    """Log |det K|, where K counts the units on whose state two images agree.

    Source: Mellor et al., "Neural architecture search without training", ICML 2021. Two
    images of the same code make K singular, and the score minus infinity.
    """
    similarity = observation["similarity"]
    if not similarity.any():  # no unit at all
        return {"nwot": float("-inf")}
    return {"nwot": float(np.linalg.slogdet(similarity)[1])}


def observe_regions(
    apply: Apply, variables: Variables, images: Array, labels: Array
) -> Observation:
    """How many images have the code of each image, int32[B]."""
    similarity = _recorded("code_similarity", apply, variables, images)
    return {"alike": (similarity == similarity.diagonal()).sum(1, dtype=jnp.int32)}


def linear_regions(observation: Observation) -> dict[str, float]:
    """The number of different codes, and its share of the images.

    Source: TE-NAS (arXiv 2102.11535), section 3.1.2. Where nearly all images differ,
    the number tells nothing apart: `region_share` near 1 says so.
    """
    alike = observation["alike"]
    regions = float(np.rint((1 / alike).sum()))
    return {"linear_regions": regions, "region_share": regions / len(alike)}


def observe_columns(
    apply: Apply, variables: Variables, images: Array, labels: Array
) -> Observation:
    """How many units have each of the 2^B codes, float32[2^B]."""
    return {"units": _recorded("code_columns", apply, variables, images)}


def swap(observation: Observation) -> dict[str, float]:
    """The number of different codes of units over the images.

    Source: Peng et al., "SWAP-NAS", ICLR 2024; without its factor of the size.
    """
    return {"swap": float((observation["units"] > 0).sum())}


NWOT = Proxy(
    observe_similarity,
    nwot,
    columns={"nwot": Column("log determinant of code similarities")},
    images="train",
    batch=32,
    network="small",
    kernels="he_fan_in",
    cost="1 forward",
)
LINEAR_REGIONS = Proxy(
    observe_regions,
    linear_regions,
    columns={
        "linear_regions": Column("different codes of images"),
        "region_share": Column("linear regions by images; near 1 is saturated"),
    },
    images="crops",
    batch=1000,
    network="thin",
    kernels="he_fan_in",
    cost="1 forward, of crops of 3 pixels",
)
SWAP = Proxy(
    observe_columns,
    swap,
    columns={"swap": Column("different codes of units")},
    images="train",
    batch=codes.MOST_IMAGES,
    network="small",
    kernels="he_fan_in",
    cost="1 forward",
)
