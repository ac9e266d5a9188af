"""Examples that are decoded, cut and resized when they are asked for."""

from __future__ import annotations

import dataclasses
import io
import struct
import zlib

import numpy as np
from PIL import Image

from difnas_jax.data.base import Records, Split, Stored
from difnas_jax.data.crops import Box, Crop
from difnas_jax.errors import InputError, one_line

# What Pillow raises where the bytes are no image, or half of one.
CORRUPT = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
MODES = {1: "L", 3: "RGB"}


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Stored images, each seen through a crop.

    Attributes:
      records: where they are.
      crop: which part is seen.
      size: side of what is seen, after a bilinear resize.
      channels: 1 or 3.
      skip_corrupt: take the next readable image where one is corrupt; otherwise that is
        an error.
      workers: processes that should read, see `Examples`.
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

    def take(
        self, index: np.ndarray, draws: np.ndarray
    ) -> tuple[Split, dict[int, str]]:
        """See `Examples`.

        Raises:
          InputError: an image that is corrupt, unless those are skipped.
        """
        images = np.empty((len(index), self.size, self.size, self.channels), np.uint8)
        labels, replaced = np.empty(len(index), np.int32), {}
        for row, (place, numbers) in enumerate(zip(index, draws, strict=True)):
            images[row], labels[row], reason = self._readable(int(place), numbers)
            if reason:
                replaced[row] = reason
        return Split(images, labels), replaced

    def _readable(self, place: int, draws: np.ndarray) -> tuple[np.ndarray, int, str]:
        """The first readable image from a place on, and why it is not that of it."""
        reason = ""
        for offset in range(len(self)):
            index = (place + offset) % len(self)
            stored, label = self.records.read(index)
            try:
                return self._seen(stored, draws), label, reason
            except CORRUPT as error:
                reason = reason or _reason(self.records.name(index), error)
                if not self.skip_corrupt:
                    break
        raise corrupt(reason)

    def _seen(self, stored: Stored, draws: np.ndarray) -> np.ndarray:
        image = opened(stored)
        box = self.crop(*image.size, draws)
        seen = resized(image, box, self.size, MODES[self.channels])
        return np.asarray(seen).reshape(self.size, self.size, self.channels)

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of the records; grey images are repeated."""
        mean, std = self.records.pixel_statistics()
        return np.resize(mean, self.channels), np.resize(std, self.channels)


def stored_channels(records: Records, skip_corrupt: bool) -> int:
    """Channels of the first image; 3 for files in any colours.

    Raises:
      InputError: it is corrupt, unless those are skipped.
    """
    for index in range(len(records)):
        stored, _ = records.read(index)
        try:
            if isinstance(stored, bytes):
                return 1 if is_grey(opened(stored)) else 3
            return stored.shape[-1]
        except CORRUPT as error:
            if not skip_corrupt:
                raise corrupt(_reason(records.name(index), error)) from error
    raise InputError("data.path: expected images, none can be decoded")


def _reason(name: str, error: BaseException) -> str:
    return f"{name} ({one_line(error)})"


def corrupt(reason: str) -> InputError:
    """The error for an image that cannot be decoded."""
    return InputError(
        f"expected a readable image, cannot decode {reason}; replace it, or leave such "
        "images out with data.corrupt = 'skip'"
    )


def is_grey(image: Image.Image) -> bool:
    """Whether it cannot have colours; a palette may hold some."""
    return image.mode in ("1", "L", "LA") or image.mode[0] == "I"


def opened(stored: Stored) -> Image.Image:
    """The image; the pixels of a file are decoded when they are needed."""
    if isinstance(stored, bytes):
        return Image.open(io.BytesIO(stored))
    return Image.fromarray(stored[..., 0] if stored.shape[-1] == 1 else stored)


def resized(image: Image.Image, box: Box, size: int, mode: str) -> Image.Image:
    """A part of an image as a square, bilinear.

    Pillow's filter grows with the scale, so that nothing aliases. Differs from BN-NAS,
    whose OpenCV takes the four nearest pixels at any scale.

    Args:
      image: of any size and mode.
      box: the part, in its pixels.
      size: side of the square.
      mode: `L` or `RGB`.
    """
    width, height = image.size
    shrink = min(box[2] - box[0], box[3] - box[1]) / size
    if shrink >= 2:  # a JPEG decodes at 1/2, 1/4 or 1/8 in a fraction of the time
        image.draft(None, (int(width / shrink), int(height / shrink)))
        across, down = image.width / width, image.height / height
        box = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
    if image.mode != mode:
        image = image.convert(mode)
    # Rounding must not leave the image.
    right, lower = min(box[2], image.width), min(box[3], image.height)
    bilinear = Image.Resampling.BILINEAR
    return image.resize(
        (size, size), bilinear, (max(box[0], 0), max(box[1], 0), right, lower)
    )
