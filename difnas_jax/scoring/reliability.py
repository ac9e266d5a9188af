"""Whether an indicator can be believed: what is read off noise looks like a result."""

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from difnas_jax.scoring.proxies.activity import LINEAR_REGIONS
from difnas_jax.search.algorithms import Search

SATURATED = 0.98  # share of images with a region of their own
CONFIDENT = 2.576  # standard deviations on either side of a 99 % interval
DISTINCT = 3.0  # standard errors between the means of two ops


def doubts_about_accuracy(
    trained: Mapping[str, Any], name: str, consequence: str
) -> list[str]:
    """What does no better than chance may have learnt nothing.

    Args:
      trained: `accuracy`, `examples`, `split` and `chance`, see `stages.supernet`.
      name: of what was trained.
      consequence: what follows if it has learnt nothing.

    Returns:
      A sentence where the 99 % interval of the accuracy (Wilson's, over the images)
      does not lie above chance; else nothing.
    """
    accuracy, chance = trained["accuracy"], trained["chance"]
    lowest = _lower_bound(accuracy, trained["examples"])
    if lowest > chance:
        return []
    return [
        f"the {name} cannot be told from chance: accuracy {accuracy:.2%} on "
        f"{trained['examples']} images of {trained['split']}, chance {chance:.2%}; "
        f"{consequence}; evaluate it on more images, or train longer or at another "
        "learning rate"
    ]


def _lower_bound(share: float, count: int) -> float:
    """The lower end of Wilson's score interval of a share of so many."""
    square = CONFIDENT**2 / count
    spread = CONFIDENT * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return (share + square / 2 - spread) / (1 + square)


def doubts_about_gammas(layers: Iterable[Mapping[str, np.ndarray]]) -> list[str]:
    """Gammas that differ no more than channels do tell no op from another.

    Args:
      layers: of each layer, float32[C] of the ops that compete in it, by name.

    Returns:
      A sentence where no layer has two ops whose mean |gamma| differ by three standard
      errors over their channels; else nothing.
    """
    pairs = (pair for ops in layers for pair in itertools.combinations(ops.values(), 2))
    if any(_standard_errors_between(*pair) >= DISTINCT for pair in pairs):
        return []
    return [
        "no layer has two ops whose mean |gamma| differ by three standard errors over "
        "their channels; the indicator tells no op from another"
    ]


def doubts_about_search(search: Search) -> list[str]:
    """Why the training-free scores of a finished search are not to be believed.

    Where sets of ops were scored, the medians of each round stand for the networks.
    """
    algorithm, history = search.algorithm, search.history
    columns = dict(algorithm.evaluated.columns)
    if algorithm.needs_subsets:
        medians = {n: [row.get(f"median_{n}") for row in history] for n in columns}
        columns = {name: np.array(values, float) for name, values in medians.items()}
    failed = sum(row.get("non_finite", 0) for row in history)
    count = f"{failed} of {algorithm.evaluations} candidates"
    lost = [f"{count} have a value that is not finite, which ranks worst"]
    return [*doubts_about_columns(columns), *(lost if failed else [])]


def doubts_about_columns(columns: Mapping[str, np.ndarray]) -> list[str]:
    """Why training-free scores are not to be believed, whatever they correlate with.

    Args:
      columns: by name, one entry for each network.
    """
    if "linear_regions" not in columns:
        return []
    return doubts_about_regions(columns["linear_regions"] / LINEAR_REGIONS.batch)


def doubts_about_regions(shares: np.ndarray) -> list[str]:
    """Linear regions tell nothing where each image has one of its own.

    Args:
      shares: float64[N], regions by images, of each network.

    Returns:
      A sentence where that is so in a tenth of the networks; else nothing.
    """
    saturated = np.mean(shares > SATURATED)
    if saturated < 0.1:
        return []
    return [
        f"linear regions are saturated: in {saturated:.0%} of the networks more than "
        f"{SATURATED:.0%} of the images have a region of their own, and they tell "
        "these apart no more"
    ]


def _standard_errors_between(one: np.ndarray, other: np.ndarray) -> float:
    sizes = [np.abs(scale, dtype=np.float64) for scale in (one, other)]
    error = math.sqrt(sum(size.var() / max(len(size) - 1, 1) for size in sizes))
    difference = abs(sizes[0].mean() - sizes[1].mean())
    return difference / error if error else 0.0
