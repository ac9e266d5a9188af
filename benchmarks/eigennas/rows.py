"""What is measured of each network: a row of plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.eigennas.networks import (
    DESCENTS,
    Split,
    drawn,
    initial_kernels,
    of_width,
    tangent_kernels,
    trainer,
)
from difnas_jax.isometry.eigenvalue_bounds import (
    closest_pair_bound,
    eigenvalue_generalisation_bound,
    generalisation_bound,
    hermite_bound,
    schur_bound,
)
from difnas_jax.isometry.infinite_width import (
    HiddenLayer,
    hidden_layers,
    infinite_kernels,
)
from difnas_jax.spaces.base import IDENTITY, Architecture
from difnas_jax.spaces.costs import cost_table
from difnas_jax.spaces.dense import ACTIVATIONS, DenseSpace

IMAGES = 64  # of a kernel
LABELLED = 128  # of the generalisation bounds
WIDTHS = (64, 256, 1024)
DEPTHS = (4, 6)
CURVED = tuple(name for name in ACTIVATIONS if name != "linear")
DIGITS = 5
TINY = np.finfo(np.float64).tiny  # for an eigenvalue that rounding leaves below 0
Row = dict[str, Any]


def gram_of(images: np.ndarray) -> np.ndarray:
    """float64[N, N]: inner products of images, each divided by its norm."""
    rows = images.reshape(len(images), -1).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def infinite(gram: np.ndarray, layers: Sequence[HiddenLayer]) -> Row:
    """The minimum eigenvalue at infinite width, its condition number and bounds."""
    kernels = infinite_kernels(gram, layers)
    values = np.linalg.eigvalsh(kernels.tangent)
    return {
        "infinite": float(values[0]),
        "infinite_condition": float(values[-1] / values[0]),
        "hermite": hermite_bound(gram, layers),
        "schur": schur_bound(kernels, layers),
        "closest_pair": closest_pair_bound(kernels.tangent),
    }


def bound_rows(space: DenseSpace, train: Split, seeds: Sequence[int]) -> Iterator[Row]:
    """Networks of equal layers: bounds, recursion, and widths of `WIDTHS`.

    `finite_<width>` are the minimum eigenvalues by seed, `error_<width>` the root mean
    squared relative error of the entries of the kernel over entries and seeds.
    """
    images = train.images[:IMAGES]
    gram, spaces = gram_of(images), {w: of_width(space, w) for w in WIDTHS}
    finders = {w: tangent_kernels(own, images) for w, own in spaces.items()}
    for path in equal_layers(space):
        layers = hidden_layers(space, path)
        kernel, row = infinite_kernels(gram, layers).tangent, infinite(gram, layers)
        for width, own in spaces.items():
            found = [
                finders[width](initial_kernels(own, path, seed), path) for seed in seeds
            ]
            values = [float(np.linalg.eigvalsh(each)[0]) for each in found]
            row[f"finite_{width}"] = values
            errors = [((each / kernel - 1) ** 2).mean() for each in found]
            row[f"error_{width}"] = float(np.mean(errors) ** 0.5)
        yield shortened({"activation": layers[0].activation, **shape_of(layers), **row})


def equal_layers(space: DenseSpace) -> Iterator[Architecture]:
    """One activation everywhere, without skips and with all of them.

    Linear networks have no kernel of rank 64 for images of as many pixels.
    """
    for depth in DEPTHS:
        for name in CURVED:
            for skip in ("", "+skip"):
                left_out = [IDENTITY.name] * (space.num_layers - depth)
                yield space.parse([name, *[name + skip] * (depth - 1), *left_out])


def shape_of(layers: Sequence[HiddenLayer]) -> Row:
    """What is known of a network without its kernel."""
    return {
        "hidden_layers": len(layers),
        "nonlinear_layers": sum(layer.activation != "linear" for layer in layers),
        "skips": sum(layer.skip for layer in layers),
    }


class Part(NamedTuple):
    """Random networks that are scored, or that are trained.

    Attributes:
      data: `mnist`, or the `digits` that are shipped.
      descent: key of `DESCENTS`; empty: the networks are scored.
      images: how many of the training images train; 0 is all.
    """

    data: str
    descent: str = ""
    images: int = 0

    @property
    def scores(self) -> str:
        """The part with the scores of the same networks."""
        return f"{self.data}_scores"

    def row_of(
        self,
        space: DenseSpace,
        splits: dict[str, Split],
        seeds: Sequence[int],
        updates: int,
    ) -> Callable[[Architecture], Row]:
        """A function of a network: its row."""
        train = splits["train"]
        if not self.descent:
            return scored(space, train, seeds)
        few = Split(*(array[: self.images or None] for array in train))
        descent = DESCENTS[self.descent]
        run = trainer(space, {**splits, "train": few}, updates, descent)
        return trained(space, seeds, run, descent.rates)


PARTS = {
    f"{data}{suffix}": Part(data, descent, images)
    for data in ("digits", "mnist")
    for suffix, descent, images in (
        ("_scores", "", 0),
        ("", "adam", 0),
        ("_few", "adam", LABELLED),
        ("_sgd", "sgd", 0),
    )
}


def scored(
    space: DenseSpace, train: Split, seeds: Sequence[int]
) -> Callable[[Architecture], Row]:
    """A function of a network: its scores, at finite width means of logarithms."""
    images, gram = train.images[:IMAGES], gram_of(train.images[:IMAGES])
    labelled = gram_of(train.images[:LABELLED])
    one_hot = np.eye(space.num_classes)[train.labels[:LABELLED]]
    find, costs = tangent_kernels(space, images), cost_table(space)

    def row(path: Architecture) -> Row:
        layers = hidden_layers(space, path)
        kernels = [find(initial_kernels(space, path, seed), path) for seed in seeds]
        spectra = np.array([np.linalg.eigvalsh(kernel) for kernel in kernels])
        least, traces = spectra[:, 0].clip(TINY), spectra.sum(1)
        wide = infinite_kernels(labelled, layers).tangent
        tasks = 2 * one_hot.T - 1  # one class against the rest, -1 and 1
        return shortened(
            {
                "network": space.text(path),
                **shape_of(layers),
                "params": costs.of_one(path)["params"],
                "finite": np.log(least).mean(),
                "finite_normalised": np.log(least * IMAGES / traces).mean(),
                "finite_condition": np.log(spectra[:, -1] / least).mean(),
                **infinite(gram, layers),
                "label_bound": np.mean([generalisation_bound(wide, y) for y in tasks]),
                "eigenvalue_bound": eigenvalue_generalisation_bound(wide),
            }
        )

    return row


def trained(
    space: DenseSpace,
    seeds: Sequence[int],
    run: Callable[..., dict[str, np.ndarray]],
    rates: Sequence[float],
) -> Callable[[Architecture], Row]:
    """A function of a network: its accuracies at the best rate in mean validation.

    `validation` is the mean over seeds, `test` has one accuracy for each of them.
    """

    def row(path: Architecture) -> Row:
        kernels = [initial_kernels(space, path, seed) for seed in seeds]
        stacked = [np.stack(every) for every in zip(*kernels, strict=True)]
        found = run(stacked, path, seeds)
        validation = found["validation"].mean(1)
        rate = int(validation.argmax())
        accuracies = {"validation": validation[rate], "test": found["test"][rate]}
        return shortened({"rate": rates[rate], **accuracies})

    return row


def shortened(row: Row) -> Row:
    """The same in plain numbers of `DIGITS` digits: hundreds of rows are kept."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}")
    many = isinstance(value, list | np.ndarray)
    return [_plain(item) for item in value] if many else value


def networks_of(space: DenseSpace, count: int) -> list[Architecture]:
    """The networks that are scored and trained, the same for all data."""
    return drawn(space, count, seed=0)
