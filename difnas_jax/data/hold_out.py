"""A split out of the training images, with the same share of every class."""

from typing import TypeVar

import numpy as np

from difnas_jax.data.base import Records
from difnas_jax.errors import require

R = TypeVar("R", bound=Records)


def hold_out(field: str, records: R, fraction: float, seed: int) -> tuple[R, R]:
    """Divide a split in two at random, with the same share of every class.

    Args:
      field: of the fraction, for the error.
      records: the split.
      fraction: share of the second part, below 1.
      seed: the same seed gives the same two parts.

    Returns:
      The rest and the second part; both in the original order.

    Raises:
      InputError: one of the two would be empty.
    """
    size, labels = len(records), records.all_labels()
    sizes = np.unique(labels, return_counts=True)[1]
    counts = stratified_counts(sizes, fraction)
    expected = f"a share that leaves examples on both sides of {size}"
    got = f"{fraction}; give another share, or such a split"
    require(0 < counts.sum() < size, field, expected, got)
    shuffled = np.random.default_rng(seed).permutation(size)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    ranks = np.arange(size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    held = np.zeros(size, bool)
    held[by_class] = ranks < np.repeat(counts, sizes)
    return records[~held], records[held]


def stratified_counts(sizes: np.ndarray, fraction: float) -> np.ndarray:
    """How many images of each class a share of all images has.

    Each class gives its share rounded down; the images that are then missing come from
    the classes with the largest remainders, of equal ones from the first.

    Args:
      sizes: int[C], images of each class, at least one.
      fraction: the share, from 0 to below 1.

    Returns:
      int[C], each less than one image from its share. They sum to the rounded share of
      all images, or to less where a class would lose its last image.
    """
    quotas = fraction * sizes
    counts = np.floor(quotas).astype(int)
    gives_one_more = np.ceil(quotas) < sizes
    by_remainder = np.argsort(counts - quotas, kind="stable")
    by_remainder = by_remainder[(gives_one_more & (quotas > counts))[by_remainder]]
    missing = round(fraction * sizes.sum()) - counts.sum()
    counts[by_remainder[:missing]] += 1
    return counts
