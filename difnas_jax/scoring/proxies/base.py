"""What a training-free score is: a row with its columns and how it is measured."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import numpy as np
from jax import Array

# (variables, images, train, mutable) -> logits [B, num_classes], with `mutable` a pair
# of these and the collections. The network and its path are fixed.
Apply = Callable[..., Any]
Variables = Mapping[str, Any]
# What is read off one network on the devices, or the same as numpy arrays.
Observation = dict[str, Any]

WEIGHTS = ("kernel", "scale")  # what PyTorch calls `weight`: no biases
KERNELS = ("kernel",)


class Column(NamedTuple):
    """One number about a network.

    Attributes:
      meaning: in a few words.
      higher_is_better: its direction.
    """

    meaning: str
    higher_is_better: bool = True


@dataclasses.dataclass(frozen=True)
class Proxy:
    """A score that is measured on a network at its initial values.

    Attributes:
      observe: a pure function of (apply, variables, images, labels), compiled once for
        all networks of a space.
      conclude: what it returned, in numpy -> a number for each column, in float64; NaN
        or infinite where there is none, which ranks worst.
      columns: the columns that it makes.
      images: key of `inputs.INPUTS`.
      batch: how many images it takes at once.
      network: key of `networks.REDUCTIONS`: the network that stands for the whole one.
      kernels: key of `KERNEL_RULES`, the initial values that its authors used.
      cost: passes over a batch of B images.
      batch_norm: which statistics normalise.
      options: attributes of `Network` that it needs.
    """

    observe: Callable[[Apply, Variables, Array, Array], Observation]
    conclude: Callable[[Observation], dict[str, float]]
    columns: Mapping[str, Column]
    images: str
    batch: int
    network: str
    kernels: str
    cost: str
    batch_norm: str = "of the batch"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def named_leaves(tree: Any) -> dict[tuple[str, ...], Any]:
    """The leaves of nested dictionaries by their path."""
    return flax.traverse_util.flatten_dict(tree)


def split_weights(
    variables: Variables, names: tuple[str, ...] = WEIGHTS
) -> tuple[dict[tuple[str, ...], Array], Callable[[Any], dict[str, Any]]]:
    """The leaves of these names, of the collections `params` and `frozen` alike.

    Returns:
      The leaves by path, the collection first, in alphabetical order; and the function
      that puts such leaves back among the other variables.
    """
    leaves = named_leaves(dict(variables))
    chosen = {
        path: leaves[path]
        for path in sorted(leaves)
        if path[0] in ("params", "frozen") and path[-1] in names
    }

    def merged(weights: Any) -> dict[str, Any]:
        return flax.traverse_util.unflatten_dict({**leaves, **weights})

    return chosen, merged


def on_host(observation: Observation) -> Observation:
    """The same in numpy; floating-point numbers become float64."""

    def copied(leaf: Any) -> np.ndarray:
        array = np.asarray(leaf)
        return array.astype(np.float64) if array.dtype.kind == "f" else array

    return jax.tree.map(copied, observation)
