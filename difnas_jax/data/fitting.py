"""Arrays in memory, brought to the shape of the space once and for all."""

from __future__ import annotations

import numpy as np
from PIL import Image

from difnas_jax.data.base import Split
from difnas_jax.errors import InputError


def check_channels(name: str, channels: int, image_channels: int) -> None:
    """Raise `InputError` unless images have these channels or are grey."""
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
    images = split.images
    check_channels(name, images.shape[-1], image_channels)
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
