"""From `Records` to `Examples`: images are brought to the shape of the space.

Arrays of which every epoch shows whole images are brought to it once, when the data are
loaded; all other images are decoded, cropped and resized each time they are taken.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from difnas_jax.data.base import Arrays, Records, StoredImage
from difnas_jax.data.decoding import (
    CORRUPT,
    MODES,
    holds_colours,
    opened,
    upright_size,
)
from difnas_jax.data.images import CROP_DRAWS, Crop, decoded, whole
from difnas_jax.errors import InputError, one_line, require

T = TypeVar("T")
STATISTICS_OF = 1000  # images on the disk, where the config has no statistics


@dataclasses.dataclass(frozen=True)
class DecodedExamples:
    """Records that are decoded, cropped and resized when they are taken.

    Attributes:
      records: the stored images.
      crop: which part of an image is used.
      size: side of the part after a bilinear resize.
      channels: 1 or 3.
      skip_corrupt: use the next readable image where one is corrupt; otherwise that is
        an error.
      workers: see `Arrays`.
    """

    records: Records
    crop: Crop
    size: int
    channels: int
    skip_corrupt: bool
    workers: int

    def __len__(self) -> int:
        """N."""
        return len(self.records)

    @property
    def image_bytes(self) -> int:
        """Of one image."""
        return self.size**2 * self.channels

    def take(
        self, index: np.ndarray, draws: np.ndarray
    ) -> tuple[Arrays, dict[int, str]]:
        """See `Arrays`.

        Raises:
          InputError: an image is corrupt and is not to be skipped.
        """
        images = np.empty((len(index), self.size, self.size, self.channels), np.uint8)
        labels, replaced = np.empty(len(index), np.int32), {}
        for row, (position, numbers) in enumerate(zip(index, draws, strict=True)):
            pixels = functools.partial(
                decoded,
                crop=self.crop,
                draws=numbers,
                size=self.size,
                channels=self.channels,
            )
            images[row], labels[row], reason = first_readable(
                self.records, int(position), pixels, self.skip_corrupt
            )
            if reason:
                replaced[row] = reason
        return Arrays(images, labels), replaced

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of the records; grey images are repeated.

        Of images on the disk, those of `STATISTICS_OF` evenly spaced ones, as they are
        cropped by draws in the middle of their range.
        """
        found = self.records.pixel_statistics()
        if found is None:
            some = spread_over(self, STATISTICS_OF)
            middle = np.full((len(some), CROP_DRAWS), 0.5)
            images, _ = some.take(np.arange(len(some)), middle)
            found = images.pixel_statistics()
        mean, std = found
        return np.resize(mean, self.channels), np.resize(std, self.channels)


# Images in the shape of the space.
Examples = Arrays | DecodedExamples


def spread_over(examples: Examples, most: int) -> Examples:
    """All of some examples, or so many of them, evenly spaced."""
    every = slice(None, None, -(-len(examples) // most))
    if isinstance(examples, Arrays):
        return examples[every]
    return dataclasses.replace(examples, records=examples.records[every])


def first_readable(
    records: Records, index: int, work: Callable[[StoredImage], T], skip_corrupt: bool
) -> tuple[T, int, str]:
    """Work on the image at a position or, where it is corrupt, on the next one.

    Args:
      records: the stored images.
      index: the position.
      work: what to do with the image.
      skip_corrupt: whether to go on to the next image, and after the last to the first.

    Returns:
      The result, the label, and why it is not the image at the position, or "".

    Raises:
      InputError: the image is corrupt and is not to be skipped, or all are corrupt.
    """
    reason = ""
    for offset in range(len(records)):
        position = (index + offset) % len(records)
        stored, label = records.read(position)
        try:
            return work(stored), label, reason
        except CORRUPT as error:
            reason = reason or f"{records.name(position)} ({one_line(error)})"
            if not skip_corrupt:
                break
    way_out = "" if skip_corrupt else ", or skip such images with data.corrupt = 'skip'"
    raise InputError(
        f"expected a readable image, cannot decode {reason}; replace it{way_out}"
    )


def check_records(role: str, records: Records, crop: Crop, config: ConfigDict) -> str:
    """Check a split against the config.

    The first readable image tells its form; the images of `Records.sampled` are decoded
    as those that are evaluated, so that a damaged one ends a run before it begins.

    Args:
      role: train, validation or test.
      records: the images of the split.
      crop: how they are cropped.
      config: of the run.

    Returns:
      How the images are stored, such as `8 x 8 grey`.

    Raises:
      InputError: no readable image, a damaged one unless they are to be skipped, wrong
        channels, or no label.
    """
    channels, skip = config.space.image_channels, config.data.corrupt == "skip"
    (found, size), _, _ = first_readable(records, 0, _channels_and_size, skip)
    _check_channels(f"{config.data.source} {role}", found, channels)
    labelled, got = records.read(0)[1] >= 0, f"no label for {records.name(0)}"
    require(labelled, f"data.{role}_split", "a split with labels", got)
    fits = channels in MODES or fits_at_once(records, crop)
    expected = "1 or 3 for images that are decoded and cropped"
    require(fits, "space.image_channels", expected, channels)
    if not (skip or fits_at_once(records, crop)):
        examples = to_examples(role, records, crop, config)
        for position in records.sampled():
            examples.take(np.array([position]), np.zeros((1, CROP_DRAWS)))
    colours = {1: "grey", 3: "colour"}.get(found, f"of {found} channels")
    return f"{records.container}{size[0]} x {size[1]} {colours}"


def to_examples(
    role: str, records: Records, crop: Crop, config: ConfigDict
) -> Examples:
    """The images of a split in the shape of the space; see `check_records`."""
    size, channels = config.space.image_size, config.space.image_channels
    name = f"{config.data.source} {role}"
    if isinstance(records, Arrays) and fits_at_once(records, crop):
        return fitted(name, records, size, channels)
    skip, workers = config.data.corrupt == "skip", config.data.workers
    return DecodedExamples(records, crop, size, channels, skip, workers)


def fitted(name: str, arrays: Arrays, image_size: int, image_channels: int) -> Arrays:
    """Bring images in memory to the shape of the space.

    Args:
      name: where they came from, for the error.
      arrays: the images.
      image_size: target side; other sizes are resized (bilinear).
      image_channels: target channels; grey images are repeated.

    Raises:
      InputError: the images are neither grey nor of the target channels.
    """
    images = arrays.images
    _check_channels(name, images.shape[-1], image_channels)
    if images.shape[-1] < image_channels:
        images = np.repeat(images, image_channels, axis=-1)
    if images.shape[1:3] != (image_size, image_size):
        images = np.stack([_resized_planes(image, image_size) for image in images])
    return Arrays(images, arrays.labels)


def _resized_planes(image: np.ndarray, size: int) -> np.ndarray:
    """Resize channel by channel: Pillow has no mode for two channels."""
    planes = [Image.fromarray(plane) for plane in np.moveaxis(image, -1, 0)]
    bilinear = Image.Resampling.BILINEAR
    small = [np.asarray(plane.resize((size, size), bilinear)) for plane in planes]
    return np.stack(small, axis=-1)


def fits_at_once(records: Records, crop: Crop) -> bool:
    """Whether images are brought to the shape of the space once, when they are read."""
    return isinstance(records, Arrays) and crop is whole


def _channels_and_size(stored: StoredImage) -> tuple[int, tuple[int, int]]:
    """1 for grey images, 3 for encoded files in any colours; width and height."""
    if isinstance(stored, bytes):
        image = opened(stored)
        return 3 if holds_colours(image) else 1, upright_size(image)
    height, width, channels = stored.shape
    return channels, (width, height)


def _check_channels(name: str, channels: int, image_channels: int) -> None:
    last = ", on the last axis" if channels > 4 else ""
    expected = f"{image_channels} channels (space.image_channels){last}"
    require(channels in (1, image_channels), f"{name} images", expected, channels)
