"""The forms that data take on their way from the disk to the network.

A `StoredImage` is one image as it is stored: an encoded file, or an array of pixels.
`Records` are the labelled stored images of a split, read one by one in any order.
`Examples` are labelled images in the shape of the space, taken many at a time.
`Arrays` are labelled images in memory: they are `Records`, and can be `Examples`.
A `Dataset` has splits for training, validation (if any) and test, all in one form.

`examples.py` turns `Records` into `Examples`.
"""

import abc
import dataclasses
import zlib
from collections.abc import Hashable, Iterator, Mapping
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np

from difnas_jax.errors import InputError

# The bytes of a JPEG or PNG file, or uint8[H, W, C].
StoredImage = bytes | np.ndarray
# What is read of each split before a run; of small data sets that is everything.
SAMPLED_BYTES = 2**25


@dataclasses.dataclass(frozen=True)
class Records(abc.ABC):
    """Labelled images as they are stored, read one by one in any order.

    Attributes:
      per_image: names of the fields that are arrays with one entry for each image.
    """

    per_image: ClassVar[tuple[str, ...]]

    def __len__(self) -> int:
        """N, the number of images."""
        return len(getattr(self, self.per_image[0]))

    def __getitem__(self, index: np.ndarray | slice) -> Self:
        """Select some, by a mask, by their positions or by a slice."""
        selected = {name: getattr(self, name)[index] for name in self.per_image}
        return dataclasses.replace(self, **selected)

    @abc.abstractmethod
    def read(self, index: int) -> tuple[StoredImage, int]:
        """An image and its label; the label is -1 where there is none."""

    @abc.abstractmethod
    def all_labels(self) -> np.ndarray:
        """int[N]; no image is read where the labels are stored apart."""

    def known_labels(self) -> np.ndarray | None:
        """Those of `all_labels`, or None where that would read the images."""
        return self.all_labels()

    @abc.abstractmethod
    def name(self, index: int) -> str:
        """Where an image comes from, for errors."""

    def identities(self) -> list[Hashable]:
        """For each image what the same image of another split has too."""
        return [self.name(index) for index in range(len(self))]

    @property
    def container(self) -> str:
        """How the images are stored, up to the size of the first one."""
        return ""

    def sampled(self) -> range:
        """Positions of the images that are read before a run, evenly spaced."""
        return range(0)

    def checksum(self, value: int) -> int:
        """A CRC-32 continued from `value`: equal data give equal numbers."""
        for name in self.per_image:
            value = zlib.crc32(getattr(self, name).tobytes(), value)
        return value

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean and standard deviation per channel on the 0-1 scale.

        None where that would read all images from the disk.
        """
        return None


@dataclasses.dataclass(frozen=True)
class Arrays(Records):
    """Labelled images in memory.

    Attributes:
      images: uint8[N, H, W, C].
      labels: int32[N].
      workers: processes that make batches of them; 0: a thread of this one.
    """

    images: np.ndarray
    labels: np.ndarray

    per_image = ("images", "labels")
    workers = 0

    @property
    def image_bytes(self) -> int:
        """Of one image."""
        return self.images[:1].nbytes

    def take(self, index: np.ndarray, draws: np.ndarray) -> tuple[Self, dict[int, str]]:
        """Select some for a batch.

        Args:
          index: int[n], their positions.
          draws: float64[n, CROP_DRAWS] in [0, 1), the random numbers of their crops;
            not used here, where images are whole.

        Returns:
          n examples, and {row: reason} for each row whose own image cannot be read and
          which holds another one instead.
        """
        return self[index], {}

    def read(self, index: int) -> tuple[StoredImage, int]:
        """uint8[H, W, C] and its label."""
        return self.images[index], int(self.labels[index])

    def all_labels(self) -> np.ndarray:
        """int32[N]."""
        return self.labels

    def name(self, index: int) -> str:
        """The position in the array."""
        return f"image {index}"

    def identities(self) -> list[Hashable]:
        """64 bits of the pixels of each image."""
        return [hash(image.tobytes()) for image in self.images]

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation per channel on the 0-1 scale.

        They come from histograms: a copy of the images in floating point would take 8
        times their memory.

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


def spread_by_bytes(count: int, total: int) -> range:
    """So many of some images, evenly spaced, that they have about `SAMPLED_BYTES`.

    Args:
      count: of all images.
      total: bytes of all images.
    """
    return range(0, count, max(1, -(-total // SAMPLED_BYTES)))


T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Dataset(Generic[T]):
    """The splits in one form.

    Attributes:
      train: what trains.
      validation: what networks are compared on; None where nothing is held out.
      test: is read once for each network, after it was retrained.
      classes: names in the order of the labels; numbers where the source has no names.
      notes: what the source left out, one line each.
    """

    train: T
    validation: T | None
    test: T
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def splits(self) -> Iterator[tuple[str, T]]:
        """Role and split; train, validation where there is one, and test."""
        yield "train", self.train
        if self.validation is not None:
            yield "validation", self.validation
        yield "test", self.test

    def validation_for(self, reader: str) -> T:
        """The validation split, which `reader` needs: a config field and its value.

        Raises:
          InputError: there is none.
        """
        if self.validation is None:
            raise InputError(
                "data.validation_fraction: expected a share above 0, or a source with "
                f"a validation split of its own, for {reader}; got 0"
            )
        return self.validation


@dataclasses.dataclass(frozen=True)
class NamedSplits:
    """The splits that a source holds.

    Attributes:
      splits: name -> images.
      classes: names of the classes in the order of their labels.
      notes: what was left out, one line each.
    """

    splits: Mapping[str, Records]
    classes: list[str]
    notes: tuple[str, ...] = ()
