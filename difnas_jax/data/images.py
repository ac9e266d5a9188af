"""Work on one image with Pillow: open, crop and resize."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

from difnas_jax.data.base import StoredImage
from difnas_jax.data.crops import Box

# What Pillow raises where the bytes are no image, or only part of one.
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
# Number of channels -> mode of Pillow.
MODES = {1: "L", 3: "RGB"}


def is_grey(image: Image.Image) -> bool:
    """Whether the mode has no colours; a palette may hold some."""
    return image.mode in ("1", "L", "LA") or image.mode[0] == "I"


def opened(stored: StoredImage) -> Image.Image:
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
      box: the part, in pixels of the image.
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
    left, upper = max(box[0], 0), max(box[1], 0)  # rounding must not leave the image
    right, lower = min(box[2], image.width), min(box[3], image.height)
    return image.resize(
        (size, size), Image.Resampling.BILINEAR, (left, upper, right, lower)
    )
