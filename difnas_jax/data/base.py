"""What a data source gives: images and labels in three splits, checked."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
from PIL import Image

from difnas_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Split:
    """Labelled images.

    Attributes:
      images: uint8[N, H, W, C].
      labels: int32[N].
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """N."""
        return len(self.labels)

    def __getitem__(self, index: np.ndarray | slice) -> Split:
        """Select examples."""
        return Split(self.images[index], self.labels[index])


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Three splits. The test split is read once, after retraining."""

    train: Split
    validation: Split
    test: Split

    @property
    def checksum(self) -> str:
        """A short checksum of all images and labels, for provenance."""
        value = 0
        for split in (self.train, self.validation, self.test):
            value = zlib.crc32(split.images.tobytes(), value)
            value = zlib.crc32(split.labels.tobytes(), value)
        return f"{value:08x}"


def checked_split(
    name: str, images: np.ndarray, labels: np.ndarray, num_classes: int
) -> Split:
    """Check what a source delivered.

    Args:
      name: where it came from, for the error.
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


def check_channels(name: str, split: Split, image_channels: int) -> None:
    """Raise `InputError` unless the images have these channels or are grey."""
    channels = split.images.shape[-1]
    if channels not in (1, image_channels):
        raise InputError(
            f"{name} images: expected {image_channels} channels "
            f"(space.image_channels), got {channels}"
        )


def fitted(name: str, split: Split, image_size: int, image_channels: int) -> Split:
    """Bring images to the shape of the space.

    Args:
      name: where they came from, for the error.
      split: the images.
      image_size: target side; other sizes are resized (bilinear).
      image_channels: target channels; grey images are repeated.

    Raises:
      InputError: colour images for a space with one channel, or the like.
    """
    check_channels(name, split, image_channels)
    images = split.images
    if images.shape[-1] < image_channels:
        images = np.repeat(images, image_channels, axis=-1)
    if images.shape[1:3] != (image_size, image_size):
        images = np.stack([_resized(image, image_size) for image in images])
    return Split(images, split.labels)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    """Resize channel by channel: Pillow knows no image with two channels."""
    planes = [
        np.asarray(
            Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)
        )
        for plane in np.moveaxis(image, -1, 0)
    ]
    return np.stack(planes, axis=-1)
