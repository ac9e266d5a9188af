"""What a score feeds to a network: real images, noise, ones, or small crops."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from difnas_jax.data import Examples, Normalizer
from difnas_jax.data.base import Dataset
from difnas_jax.data.images import CROP_DRAWS
from difnas_jax.errors import require
from difnas_jax.spaces.image import ImageSpace

CROP = 3  # side of a crop in pixels
WHOLE = 0


class Source(NamedTuple):
    """Where images come from.

    Attributes:
      dataset: in the shape of the whole space.
      normalizer: of its images.
      rng: of all draws.
    """

    dataset: Dataset[Examples]
    normalizer: Normalizer
    rng: np.random.Generator


# (source, space of the network, images of a batch) -> images float32[..., H, W, C] and
# labels int32[...]; pairs of batches are [2, B, ...].
Batch = tuple[np.ndarray, np.ndarray]
Input = Callable[[Source, ImageSpace, int], Batch]


def train(source: Source, space: ImageSpace, batch: int) -> Batch:
    """Training images, normalised, as they are."""
    return _drawn(source, source.dataset.train, batch, space.image_size)


def train_pair(source: Source, space: ImageSpace, batch: int) -> Batch:
    """Two batches of training images."""
    images, labels = _drawn(source, source.dataset.train, 2 * batch, space.image_size)
    shape = 2, batch
    return images.reshape(*shape, *images.shape[1:]), labels.reshape(shape)


def train_and_held_out(source: Source, space: ImageSpace, batch: int) -> Batch:
    """A batch of training images and one of the validation split, never of the test."""
    validation = source.dataset.validation_for("the held-out images of a score")
    pairs = [
        _drawn(source, part, batch, space.image_size)
        for part in (source.dataset.train, validation)
    ]
    images, labels = zip(*pairs, strict=True)
    return np.stack(images), np.stack(labels)


def noise(source: Source, space: ImageSpace, batch: int) -> Batch:
    """Independent normal pixels."""
    size = space.image_size
    images = source.rng.standard_normal((batch, size, size, space.image_channels))
    return images.astype(np.float32), np.zeros(batch, np.int32)


def ones(source: Source, space: ImageSpace, batch: int) -> Batch:
    """Ones."""
    size = space.image_size
    shape = batch, size, size, space.image_channels
    return np.ones(shape, np.float32), np.zeros(batch, np.int32)


def crops(source: Source, space: ImageSpace, batch: int) -> Batch:
    """Random windows of training images; the mean of the channels, if one is wanted.

    Of fewer images than the batch each gives several.
    """
    whole = source.dataset.train
    drawn = [
        _drawn(source, whole, min(len(whole), batch - start), WHOLE)
        for start in range(0, batch, len(whole))
    ]
    images, labels = (np.concatenate(part) for part in zip(*drawn, strict=True))
    rows, columns = source.rng.integers(images.shape[1] - CROP + 1, size=(2, batch))
    windows = np.stack(
        [
            image[row : row + CROP, column : column + CROP]
            for image, row, column in zip(images, rows, columns, strict=True)
        ]
    )
    if space.image_channels == 1:
        windows = windows.mean(-1, keepdims=True)
    return windows, labels


def _drawn(source: Source, examples: Examples, count: int, side: int) -> Batch:
    """Different examples, in the order of the split.

    Args:
      source: of the draws.
      examples: a split.
      count: how many.
      side: of the images, of which a pixel is the mean of a window; `WHOLE` keeps them.

    Raises:
      InputError: too few; equal images would make kernels singular.
    """
    expected = f"at least {count} images in a split, for scores without training"
    require(len(examples) >= count, "data", expected, len(examples))
    rows = source.rng.choice(len(examples), count, replace=False)
    draws = source.rng.random((count, CROP_DRAWS))
    taken, _ = examples.take(np.sort(rows), draws)
    images = source.normalizer(taken.images)
    if side == WHOLE:
        return images, taken.labels
    window = images.shape[1] // side
    windows = images.reshape(count, side, window, side, window, -1)
    return windows.mean((2, 4)), taken.labels


INPUTS: dict[str, Input] = {
    "train": train,
    "train_pair": train_pair,
    "train_and_held_out": train_and_held_out,
    "noise": noise,
    "ones": ones,
    "crops": crops,
}
