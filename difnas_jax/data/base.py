"""What a data source gives: labelled images in three splits, checked.

A source gives `Records`, one image at a time, in whatever shape they have; `data.load`
turns them into `Examples`, many at a time, in the shape of the space. A `Split` of
arrays in memory is both.
"""

from __future__ import annotations

import dataclasses
import zlib
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from difnas_jax.errors import InputError

# An image as it is stored: the bytes of a JPEG or PNG file, or uint8[H, W, C].
Stored = bytes | np.ndarray


class Images(Protocol):
    """Labelled images as they are stored, read one by one in any order."""

    def __len__(self) -> int:
        """N."""
        ...

    def read(self, index: int) -> tuple[Stored, int]:
        """An image and its label; -1 where it has none."""
        ...

    def name(self, index: int) -> str:
        """Where an image comes from, for errors."""
        ...


class Records(Images, Protocol):
    """What a source gives: `Images` of which some can be selected."""

    def __getitem__(self, index: np.ndarray) -> Self:
        """Select some, by a mask or by their places."""
        ...

    def checksum(self, value: int) -> int:
        """A CRC-32 continued from `value`: equal data, equal number."""
        ...

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation per channel on the 0-1 scale.

        Raises:
          InputError: the images are not in memory.
        """
        ...


class Examples(Protocol):
    """Labelled images in the shape of the space."""

    @property
    def workers(self) -> int:
        """Processes that should read them; 0 is the own process."""
        ...

    def __len__(self) -> int:
        """N."""
        ...

    def take(
        self, index: np.ndarray, draws: np.ndarray
    ) -> tuple[Split, dict[int, str]]:
        """Examples in memory.

        Args:
          index: int[n], which.
          draws: float64[n, CROP_DRAWS] in [0, 1), what is random about their crops.

        Returns:
          n examples, and for each row that holds another example, because its own
          cannot be read, why.
        """
        ...

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation per channel on the 0-1 scale."""
        ...


@dataclasses.dataclass(frozen=True)
class Split:
    """Labelled images in memory.

    Attributes:
      images: uint8[N, H, W, C].
      labels: int32[N].
    """

    images: np.ndarray
    labels: np.ndarray

    workers = 0

    def __len__(self) -> int:
        """N."""
        return len(self.labels)

    def __getitem__(self, index: np.ndarray | slice) -> Split:
        """Select examples."""
        return Split(self.images[index], self.labels[index])

    def take(
        self, index: np.ndarray, draws: np.ndarray
    ) -> tuple[Split, dict[int, str]]:
        """See `Examples`; nothing is random here."""
        return self[index], {}

    def read(self, index: int) -> tuple[Stored, int]:
        """uint8[H, W, C] and its label."""
        return self.images[index], int(self.labels[index])

    def name(self, index: int) -> str:
        """Its place in the array."""
        return f"image {index}"

    def checksum(self, value: int) -> int:
        """Of all pixels and labels."""
        value = zlib.crc32(self.images.tobytes(), value)
        return zlib.crc32(self.labels.tobytes(), value)

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """See `Records`.

        From histograms: a copy of the images in floating point would take 8 times their
        memory.

        Returns:
          float64[C] means and float64[C] standard deviations.
        """
        channels = range(self.images.shape[-1])
        counts = np.stack(
            [np.bincount(self.images[..., c].ravel(), minlength=256) for c in channels]
        )  # [N, H, W, C] -> [C, 256]
        shares, levels = counts / counts.sum(1, keepdims=True), np.arange(256) / 255
        mean = shares @ levels
        return mean, np.sqrt(shares @ levels**2 - mean**2)


T = TypeVar("T")
R = TypeVar("R", bound=Records)


@dataclasses.dataclass(frozen=True)
class Dataset(Generic[T]):
    """Three splits of one kind. The test split is read once, after retraining."""

    train: T
    validation: T
    test: T


def checksum(dataset: Dataset[Records]) -> str:
    """A short checksum of the data, for provenance."""
    value = 0
    for records in (dataset.train, dataset.validation, dataset.test):
        value = records.checksum(value)
    return f"{value:08x}"


def checked_split(
    name: str, images: np.ndarray, labels: np.ndarray, num_classes: int
) -> Split:
    """Check arrays that a source delivered.

    Args:
      name: where they came from, for the error.
      images: uint8[N, H, W] or uint8[N, H, W, C].
      labels: integers[N].
      num_classes: labels must be below.

    Raises:
      InputError: wrong type or shape, no example, or a label out of range.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise InputError(
            f"{name} images: expected uint8 [N, H, W, C] or [N, H, W], got "
            f"{images.dtype} {list(images.shape)}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != images.shape[:1]:
        raise InputError(
            f"{name} labels: expected integers [{len(images)}], got {labels.dtype} "
            f"{list(labels.shape)}"
        )
    if not images.size:
        raise InputError(
            f"{name}: expected at least one example with pixels, got "
            f"{list(images.shape)}"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise InputError(
            f"{name} labels: expected 0 to {num_classes - 1} (space.num_classes = "
            f"{num_classes}), got {labels.min()} to {labels.max()}"
        )
    if images.ndim == 3:
        images = images[..., None]
    return Split(images, labels.astype(np.int32))


def hold_out(records: R, fraction: float, seed: int) -> tuple[R, R]:
    """Cut a random share off a split.

    Args:
      records: what to cut.
      fraction: share of the second part.
      seed: the same seed cuts the same examples.

    Returns:
      What is left, and the share; both in the original order.

    Raises:
      InputError: one of the two would be empty.
    """
    size = len(records)
    count = round(fraction * size)
    if not 0 < count < size:
        raise InputError(
            f"data.validation_fraction: expected a share that leaves examples on both "
            f"sides of {size}, got {fraction}"
        )
    held = np.zeros(size, bool)
    held[np.random.default_rng(seed).permutation(size)[:count]] = True
    return records[~held], records[held]
