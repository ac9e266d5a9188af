"""What a training-free score is: a row with its columns and how it is measured."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import numpy as np
from jax import Array

from difnas_jax.models.network import Network

Variables = Mapping[str, Any]
# What is read off one network on the devices, or the same as numpy arrays.
Observation = dict[str, Any]
# For each weight, one or more matrices with a row for each image; see `kernel`.
Features = Sequence[tuple[Any, ...]]

WEIGHTS = ("kernel", "scale")  # what PyTorch calls `weight`: no biases
KERNELS = ("kernel",)


class Apply(NamedTuple):
    """A network along a path.

    Attributes:
      model: the network.
      path: int32[L], or weights of ops float32[L, O].
    """

    model: Network
    path: Array

    def __call__(
        self, variables: Variables, images: Array, train: bool = True, **options: Any
    ) -> Any:
        """Logits float32[B, num_classes] of images [B, H, W, C].

        Args:
          variables: of the network.
          images: its inputs.
          train: batch norm uses the statistics of the batch.
          **options: of `flax.linen.Module.apply`; with `mutable` it returns the logits
            and those collections.
        """
        return self.model.apply(variables, images, self.path, train, **options)


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


def split_weights(
    variables: Variables, names: tuple[str, ...] = WEIGHTS
) -> tuple[dict[tuple[str, ...], Array], Callable[[Any], dict[str, Any]]]:
    """The leaves of these names, of the collections `params` and `frozen` alike.

    Returns:
      The leaves by path, the collection first, in alphabetical order; and the function
      that puts such leaves back among the other variables.
    """
    leaves: Any = flax.traverse_util.flatten_dict(dict(variables))
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


def kernel(first: Features, second: Features) -> np.ndarray:
    """float64[B, B']: the neural tangent kernel between two batches of images.

    The sum over weights of the product by element of Gram matrices. Of a weight that
    acts on one vector for each image, they are those of the inputs and of the output's
    cotangents (see `dense_kernel`); of all others, that of the rows of the Jacobian.
    """
    total = np.zeros((len(first[0][0]), len(second[0][0])))
    for one, other in zip(first, second, strict=True):
        factors = [
            np.asarray(a, np.float64) @ np.asarray(b, np.float64).T
            for a, b in zip(one, other, strict=True)
        ]
        total += np.prod(factors, axis=0)
    return total
